// SPDX-License-Identifier: Apache-2.0

package proxies

import (
	"fmt"
	"strings"
	"testing"
)

var haproxy = &program{name: "haproxy", version: []string{"-v"}, command: func(t *testing.T, s site) []string {
	var c strings.Builder
	// Otherwise two listeners with the same port share its connections, also those of two processes.
	c.WriteString("global\n\tnoreuseport\n")
	c.WriteString("defaults\n\tmode http\n\ttimeout connect 5s\n")
	for i, l := range s.listeners {
		tls := ""
		if l.http2 {
			tls = " ssl crt " + s.both + " alpn h2,http/1.1"
		}
		fmt.Fprintf(&c, "listen l%d\n\tbind %s%s\n", i, l.address, tls)
		for line := range strings.SplitSeq(l.settings, ";") {
			fmt.Fprintf(&c, "\t%s\n", strings.TrimSpace(line))
		}
		fmt.Fprintf(&c, "\tserver api %s ssl verify none\n", s.upstream)
	}
	return []string{"-db", "-f", s.write(t, "haproxy.cfg", c.String())}
}}
