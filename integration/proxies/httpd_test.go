// SPDX-License-Identifier: Apache-2.0

package proxies

import (
	"fmt"
	"strings"
	"testing"
)

// httpd is Apache, which Debian calls apache2.
var httpd = &program{name: "apache2", version: []string{"-v"}, command: func(t *testing.T, s site) []string {
	var c strings.Builder
	fmt.Fprintf(&c, "ServerName localhost\nPidFile %[1]s/pid\nDefaultRuntimeDir %[1]s\nErrorLog %[1]s/errors\n", s.dir)
	for _, module := range []string{"mpm_event", "authz_core", "socache_shmcb", "ssl", "http2", "proxy", "proxy_http"} {
		fmt.Fprintf(&c, "LoadModule %[1]s_module /usr/lib/apache2/modules/mod_%[1]s.so\n", module)
	}
	for _, l := range s.listeners {
		tls := ""
		if l.http2 {
			tls = fmt.Sprintf("\tProtocols h2 http/1.1\n\tSSLEngine on\n\tSSLCertificateFile %s\n\tSSLCertificateKeyFile %s\n", s.certificate, s.key)
		}
		fmt.Fprintf(&c, `Listen %[1]s
<VirtualHost %[1]s>
%[2]s	SSLProxyEngine on
	SSLProxyVerify none
	SSLProxyCheckPeerName off
	ProxyPass / https://%[3]s/ %[4]s
</VirtualHost>
`, l.address, tls, s.upstream, l.settings)
	}
	return []string{"-d", s.dir, "-f", s.write(t, "httpd.conf", c.String()), "-D", "FOREGROUND"}
}}
