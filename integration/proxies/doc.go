// SPDX-License-Identifier: Apache-2.0

// Package proxies watches through real proxies: nginx, HAProxy, Caddy, Envoy and Apache httpd,
// with their default timeouts and with the recommended ones, over HTTP/1.1 and HTTP/2, on an API
// server where nothing happens and on one where other pods change all the time.
//
// It has tests only. They start the proxies that are in PATH, and skip the others.
package proxies
