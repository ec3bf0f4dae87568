// SPDX-License-Identifier: Apache-2.0

// Package podstate reads the state of an executor from its pod, and decides which runs of
// the executor container have ended.
//
// A pod passes through the files in this order:
//
//  1. facts.go looks up each fact of the pod once. Whether the kubelet starts a container again is
//     one of them.
//  2. decision.go decides the state and explains it, from the facts alone.
//  3. ends.go finds out which run the pod is about, and which ends were not shown yet.
//  4. reading.go runs these steps in [Rules.Read]. It recognises another pod of the same name
//     before them, and after them it keeps an end that was shown and that the pod contradicts.
//
// state.go has the values. waiting.go merges states of a pod that wait for a slow store.
//
// Read uses no clock, keeps nothing, and changes neither the pod nor the [Known]. What must be known
// of a state later comes out in the [Result].
package podstate
