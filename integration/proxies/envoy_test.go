// SPDX-License-Identifier: Apache-2.0

package proxies

import (
	"fmt"
	"net"
	"strings"
	"testing"
)

var envoy = &program{name: "envoy", version: []string{"--version"}, command: func(t *testing.T, s site) []string {
	var c strings.Builder
	c.WriteString("static_resources:\n  listeners:\n")
	for i, l := range s.listeners {
		host, port, err := net.SplitHostPort(l.address)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&c, `  - name: l%[1]d
    address: { socket_address: { address: %[2]s, port_value: %[3]s } }
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: l%[1]d
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes: [ { match: { prefix: "/" }, route: { cluster: api, %[4]s } } ]
          http_filters:
          - name: envoy.filters.http.router
            typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
`, i, host, port, l.settings)
		if l.http2 {
			fmt.Fprintf(&c, `      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            alpn_protocols: [ h2, http/1.1 ]
            tls_certificates: [ { certificate_chain: { filename: %s }, private_key: { filename: %s } } ]
`, s.certificate, s.key)
		}
	}
	host, port, err := net.SplitHostPort(s.upstream)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&c, `  clusters:
  - name: api
    connect_timeout: 5s
    type: STATIC
    load_assignment: { cluster_name: api, endpoints: [ { lb_endpoints: [ { endpoint: { address: { socket_address: { address: %s, port_value: %s } } } } ] } ] }
    transport_socket:
      name: envoy.transport_sockets.tls
      typed_config: { "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext }
`, host, port)
	return []string{"-c", s.write(t, "envoy.yaml", c.String()), "--concurrency", "1", "--disable-hot-restart", "-l", "warning"}
}}
