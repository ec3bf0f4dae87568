// SPDX-License-Identifier: Apache-2.0

// Package podstate reads the state of an executor from its pod, and decides which runs of
// the executor container have ended.
//
// A pod passes through the files in this order:
//
//  1. facts.go looks up each fact of the pod once. restart.go answers whether the kubelet
//     starts a container again. replaced.go recognises another pod of the same name.
//  2. decision.go decides the state, and reason.go explains it, from the facts alone. Before
//     that, ends.go takes away an end that is known to be of an earlier run.
//  3. ends.go finds out which run the pod is about, and which ends were not shown yet.
//  4. comparison.go keeps an end that was shown and that the pod contradicts.
//
// state.go has the values that go in and come out. merge.go merges states of a pod that wait
// for a slow store.
package podstate
