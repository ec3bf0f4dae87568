// SPDX-License-Identifier: Apache-2.0

// Package integration tests watchsource against a real etcd and a real
// kube-apiserver. It is a module of its own, so that what these need does not
// become a dependency of whoever uses watchsource.
package integration
