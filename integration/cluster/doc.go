// SPDX-License-Identifier: Apache-2.0

// Package cluster runs a real etcd and a real kube-apiserver on the loopback
// interface, for tests and for trying things out.
//
// Both programs are built from the versions that this module's go.mod names,
// so nothing is downloaded that the Go module proxy and go.sum do not vouch
// for. There is no controller manager, no scheduler and no kubelet: a pod stays
// Pending until a client writes its status, which package kubelet next to this
// one does.
package cluster
