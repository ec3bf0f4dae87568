// SPDX-License-Identifier: Apache-2.0

// Package kubelet pretends to be the scheduler and the kubelet of one node, for
// an API server that has neither. It binds pods, takes them through Pending,
// ContainerCreating and Running to their end by writing their status, and
// confirms deletions, so that a watch shows the states of a real node. It
// runs no container.
//
// Two annotations say how a pod's executor container lives:
//
//	watchsource.example/run-for: "2s"     it ends by itself after this time
//	watchsource.example/exit-code: "137"  with this exit code instead of 0
//
// A pod without run-for runs until it is deleted. The executor container is
// spark-kubernetes-executor, or else the pod's first; the other containers end
// with it. Exit code 137 is reported as OOMKilled. Restart policy Never is
// assumed.
package kubelet
