// SPDX-License-Identifier: Apache-2.0

// Package integration tests watchsource against a real etcd and a real kube-apiserver. It
// is a separate module, so its dependencies do not become dependencies of users of
// watchsource.
package integration
