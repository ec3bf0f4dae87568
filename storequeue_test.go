// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"fmt"
	"iter"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/executorpods/watchsource/internal/podstate"
	"github.com/executorpods/watchsource/internal/podwire"
	"github.com/executorpods/watchsource/internal/test/podtest"
)

// If so many lists wait for a slow store that only the oldest and the ends of the others are
// kept, a reader of the store is shown each end. This holds for a pod that the oldest list does
// not have too.
func TestEndsInManyWaitingLists(t *testing.T) {
	status := func(state, last corev1.ContainerState) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Spec.RestartPolicy = corev1.RestartPolicyAlways
			p.Status.Phase = corev1.PodRunning
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: defaultExecutorContainer, ContainerID: "a", State: state, LastTerminationState: last}}
		}
	}
	runs := corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	waits := corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
	crashed := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error", ContainerID: "a"}}
	none := corev1.ContainerState{}
	for _, test := range []struct {
		name  string
		calls func(*storeQueue, func(func(*corev1.Pod)) *podwire.Pod)
		ends  int
		first bool // the store has received the oldest list
	}{
		{name: "in the last state of an update", ends: 1, calls: func(q *storeQueue, next func(func(*corev1.Pod)) *podwire.Pod) {
			q.updatePod(next(status(runs, none)))
			q.replacePods([]*podwire.Pod{next(status(runs, none))})
			q.updatePod(next(status(waits, crashed)))
		}},
		{name: "in the last state of a list", ends: 1, calls: func(q *storeQueue, next func(func(*corev1.Pod)) *podwire.Pod) {
			q.replacePods([]*podwire.Pod{next(status(runs, none))})
			q.replacePods([]*podwire.Pod{next(status(waits, crashed))})
		}},
		{name: "in the last state of the oldest list", first: true, ends: 1, calls: func(q *storeQueue, next func(func(*corev1.Pod)) *podwire.Pod) {
			q.updatePod(next(status(runs, none)))
			q.replacePods([]*podwire.Pod{next(status(waits, crashed))})
		}},
		{name: "in a deletion", ends: 1, calls: func(q *storeQueue, next func(func(*corev1.Pod)) *podwire.Pod) {
			q.updatePod(next(status(runs, none)))
			q.deletePod(next(status(crashed, none)))
		}},
		{name: "in the first state", ends: 0, calls: func(q *storeQueue, next func(func(*corev1.Pod)) *podwire.Pod) {
			q.updatePod(next(status(waits, crashed)))
		}},
	} {
		q := &storeQueue{
			rules: &podstate.Rules{Container: defaultExecutorContainer},
			wake:  make(chan struct{}, 1), lastOf: map[types.UID]*queuedCall{},
		}
		version := 0
		next := func(change func(*corev1.Pod)) *podwire.Pod {
			version++
			p := podtest.Pod("1", change)
			p.UID, p.ResourceVersion = "u", fmt.Sprint(version)
			return podwire.Of(p)
		}
		if !test.first {
			q.replacePods(nil)
		}
		test.calls(q, next)
		for range maxWaitingLists + 1 {
			q.replacePods(nil)
		}
		store := NewStore()
		batch, stop := iter.Pull(store.Batches(t.Context(), 0))
		batch()
		for _, c := range q.waiting {
			c.make(store)
		}
		store.UpdatePod(podtest.Pod("2"))
		ends := 0
		changed, _ := batch()
		for _, c := range changed.Changes {
			if c.Ended {
				ends++
			}
		}
		stop()
		if ends != test.ends {
			t.Errorf("%s: shown %d ends after %d calls, want %d", test.name, ends, len(q.waiting), test.ends)
		}
	}
}
