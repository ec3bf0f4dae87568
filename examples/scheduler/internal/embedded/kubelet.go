// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"context"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/executorpods/watchsource"
)

// kubelet runs the pods of all nodes, each in a goroutine. It is a
// watchsource.SnapshotsStore, and its methods are called by one goroutine.
type kubelet struct {
	ctx      context.Context // ends all lives
	client   kubernetes.Interface
	troubles Troubles
	running  sync.WaitGroup
	lives    map[types.UID]*life
	begun    int // lives so far
}

var _ watchsource.SnapshotsStore = (*kubelet)(nil)

func (k *kubelet) UpdatePod(pod *corev1.Pod) {
	known := k.lives[pod.UID]
	if known == nil && !ended(pod) {
		known = k.begin(pod)
	}
	if known != nil && pod.DeletionTimestamp != nil {
		known.terminate()
	}
}

func (k *kubelet) DeletePod(pod *corev1.Pod) {
	if known := k.lives[pod.UID]; known != nil {
		known.gone()
		delete(k.lives, pod.UID)
	}
}

func (k *kubelet) ReplaceSnapshot(pods []*corev1.Pod) {
	present := map[types.UID]bool{}
	for _, pod := range pods {
		present[pod.UID] = true
		k.UpdatePod(pod)
	}
	for uid, known := range k.lives {
		if !present[uid] {
			k.DeletePod(known.pod)
		}
	}
}

func (k *kubelet) begin(pod *corev1.Pod) *life {
	ctx, gone := context.WithCancel(k.ctx)
	k.begun++
	l := &life{
		pods:    k.client.CoreV1().Pods(pod.Namespace),
		pod:     pod,
		trouble: k.troubles[pod.Labels[watchsource.LabelExecutorID]],
		ordinal: k.begun,
		asked:   make(chan struct{}),
		gone:    gone,
	}
	k.lives[pod.UID] = l
	k.running.Go(func() {
		defer gone()
		l.live(ctx)
	})
	return l
}

func ended(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}
