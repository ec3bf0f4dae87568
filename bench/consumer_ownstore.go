// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"sync"

	corev1 "k8s.io/api/core/v1"

	"github.com/executorpods/watchsource"
)

// A podStore is a user's own store, which keeps the pods that the source decodes.
type podStore struct {
	recorder *recorder

	mu   sync.Mutex // guards pods, which a user reads from other goroutines
	pods podMap
}

func startOwnStore(ctx context.Context, s env) (any, error) { return runOwnStore(ctx, s) }

func startTrimmedOwnStore(ctx context.Context, s env) (any, error) {
	return runOwnStore(ctx, s, watchsource.WithTrimmedPods())
}

func runOwnStore(ctx context.Context, s env, opts ...watchsource.Option) (any, error) {
	store := &podStore{recorder: s.recorder, pods: podMap{}}
	return store, startSource(ctx, s, store, opts...)
}

// UpdatePod implements watchsource.SnapshotsStore.
func (s *podStore) UpdatePod(pod *corev1.Pod) {
	s.mu.Lock()
	s.pods[nameOf(pod)] = pod
	s.mu.Unlock()
	s.recorder.see(pod.Name, pod.ResourceVersion)
}

// DeletePod implements watchsource.SnapshotsStore.
func (s *podStore) DeletePod(pod *corev1.Pod) {
	s.mu.Lock()
	delete(s.pods, nameOf(pod))
	s.mu.Unlock()
	s.recorder.see(pod.Name, pod.ResourceVersion)
}

// ReplaceSnapshot implements watchsource.SnapshotsStore.
func (s *podStore) ReplaceSnapshot(pods []*corev1.Pod) {
	replaced := make(podMap, len(pods))
	for _, pod := range pods {
		replaced[nameOf(pod)] = pod
	}
	s.mu.Lock()
	s.pods = replaced
	s.mu.Unlock()
	for _, pod := range pods {
		s.recorder.see(pod.Name, pod.ResourceVersion)
	}
}
