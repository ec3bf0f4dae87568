// SPDX-License-Identifier: Apache-2.0

// Package cluster runs a real etcd and a real kube-apiserver on the loopback
// interface, for tests and for trying things out. Another version of kube-apiserver
// can be chosen, and kine with SQLite or PostgreSQL in place of etcd.
//
// The programs of this module's go.mod are built with its go.sum, which vouches for
// them. Another program gets a module in the cache directory, whose go.sum begins as a
// copy of servers.sum: that vouches for the versions that .ci/run servers names. Go's
// checksum database vouches for any other version, and if it is switched off the build
// fails. PostgreSQL is not built and must be installed.
//
// There is no controller manager, no scheduler and no kubelet: a pod stays Pending until
// a client writes its status, as the package kubelet next to this one does.
package cluster
