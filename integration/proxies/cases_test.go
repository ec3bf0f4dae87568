// SPDX-License-Identifier: Apache-2.0

package proxies

import "time"

// A setup is one way to a server.
type setup struct {
	program  *program // nil for no proxy
	name     string
	settings string        // of the program
	timeout  time.Duration // of rest.Config

	// The proxy ends no watch before the time that the client has asked for.
	uncut bool
	// A proxy that holds the head of an answer back, or cuts idle streams, causes no error
	// while nothing happens.
	silent bool
	// Another proxy takes the place of this one after half of the time.
	replaced bool
}

// way names a setup and the protocol of its client.
func (w setup) way(http2 bool) string {
	way := w.name + ", " + protocol(http2)
	if w.program != nil {
		way = w.program.name + ", " + way
	}
	return way
}

func protocol(http2 bool) string {
	if http2 {
		return "h2"
	}
	return "h1"
}

// The settings named "recommended" are those of the README.
var setups = []setup{
	{name: "direct", uncut: true, silent: true},
	{name: "rest.Config.Timeout 30s", timeout: 30 * time.Second},

	{program: nginx, name: "upstream 1.1", settings: "proxy_http_version 1.1;", silent: true},
	{program: nginx, name: "upstream 1.1 unbuffered", settings: "proxy_http_version 1.1; proxy_buffering off;", silent: true},
	{program: nginx, name: "recommended", settings: "proxy_http_version 1.1; proxy_buffering off; proxy_read_timeout 3600s;", uncut: true, silent: true},

	// HAProxy has no default. Debian's configuration has these two.
	{program: haproxy, name: "50s", settings: "timeout client 50s; timeout server 50s"},
	{program: haproxy, name: "recommended", settings: "timeout client 1h; timeout server 1h; option http-no-delay", uncut: true, silent: true},

	{program: caddy, name: "nothing set", uncut: true, silent: true},

	{program: envoy, name: "nothing set"},
	{program: envoy, name: "recommended", settings: "timeout: 0s", uncut: true, silent: true},

	{program: httpd, name: "nothing set"},
	{program: httpd, name: "recommended", settings: "timeout=3600", uncut: true, silent: true},
}

var programs = []*program{nginx, haproxy, caddy, envoy, httpd}
