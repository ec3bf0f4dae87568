// SPDX-License-Identifier: Apache-2.0

// Package maps compares the persistent maps on which a store could keep its
// newest view: after every change there is a new map, and the old one stays as
// it was for whoever holds it. It has tests and benchmarks only:
//
//	go test -run '^$' -bench . -benchmem ./maps
package maps
