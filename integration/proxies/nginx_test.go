// SPDX-License-Identifier: Apache-2.0

package proxies

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

var nginx = &program{name: "nginx", version: []string{"-v"}, command: func(t *testing.T, s site) []string {
	var c strings.Builder
	if os.Geteuid() == 0 {
		c.WriteString("user root;\n")
	}
	fmt.Fprintf(&c, `daemon off; pid %[1]s/pid; error_log %[1]s/errors; worker_processes 1;
events {}
http {
	access_log off; client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi; uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
	ssl_certificate %[2]s; ssl_certificate_key %[3]s;
`, s.dir, s.certificate, s.key)
	for _, l := range s.listeners {
		tls := ""
		if l.http2 {
			tls = " ssl http2"
		}
		fmt.Fprintf(&c, "	server { listen %s%s; location / { proxy_pass https://%s; %s } }\n", l.address, tls, s.upstream, l.settings)
	}
	c.WriteString("}\n")
	return []string{"-e", s.dir + "/errors", "-p", s.dir, "-c", s.write(t, "nginx.conf", c.String())}
}}
