// SPDX-License-Identifier: Apache-2.0

// Package kubelet stands in for the scheduler and the kubelet of one node, for an API
// server that has neither. It binds pods, takes them through Pending, ContainerCreating
// and Running to their end by writing their status, and confirms deletions, so that a
// watch shows the states of a real node.
//
// With a [Runtime], the executor container of each pod is a process of this machine, and
// its status has the real exit code. Without one no container runs, and two annotations
// say how the executor container lives:
//
//	watchtest/run-for: "2s"     it ends by itself after this time
//	watchtest/exit-code: "137"  with this exit code instead of 0
//
// A pod without run-for runs until it is deleted. Exit code 137 is reported as OOMKilled.
//
// The executor container is spark-kubernetes-executor, or else the pod's first. The other
// containers end with it. Restart policy Never is assumed.
package kubelet
