// SPDX-License-Identifier: Apache-2.0

package proxies

import (
	"fmt"
	"strings"
	"testing"
)

var caddy = &program{name: "caddy", version: []string{"version"}, command: func(t *testing.T, s site) []string {
	var c strings.Builder
	c.WriteString("{\n\tadmin off\n\tauto_https off\n}\n")
	for _, l := range s.listeners {
		scheme, tls := "http", ""
		if l.http2 {
			scheme, tls = "https", "\ttls "+s.certificate+" "+s.key+"\n"
		}
		fmt.Fprintf(&c, `%s://%s {
%s	reverse_proxy https://%s {
		%s
		transport http {
			tls_insecure_skip_verify
		}
	}
}
`, scheme, l.address, tls, s.upstream, l.settings)
	}
	return []string{"run", "--adapter", "caddyfile", "--config", s.write(t, "Caddyfile", c.String())}
}}
