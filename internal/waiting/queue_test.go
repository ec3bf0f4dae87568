// SPDX-License-Identifier: Apache-2.0

package waiting_test

import (
	"fmt"
	"iter"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/podstate"
	"github.com/executorpods/watchsource/internal/podstate/choice"
	"github.com/executorpods/watchsource/internal/podwire"
	"github.com/executorpods/watchsource/internal/test/podtest"
	"github.com/executorpods/watchsource/internal/usercode"
	"github.com/executorpods/watchsource/internal/waiting"
)

// status sets the states of the executor container.
func status(state, last corev1.ContainerState) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.RestartPolicy = corev1.RestartPolicyAlways
		p.Status.Phase = corev1.PodRunning
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: executorContainer, ContainerID: "a", State: state, LastTerminationState: last}}
	}
}

var (
	runs    = corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	waits   = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
	crashed = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error", ContainerID: "a"}}
	none    = corev1.ContainerState{}
)

// waitingEnds has calls that wait, and how many ends a reader of the store must be shown.
var waitingEnds = []struct {
	name  string
	calls func(*waiting.Queue, func(func(*corev1.Pod)) *podwire.Pod)
	ends  int
	first bool // the store has received the oldest list
}{
	{name: "in the last state of an update", ends: 1, calls: func(q *waiting.Queue, next func(func(*corev1.Pod)) *podwire.Pod) {
		q.UpdatePod(next(status(runs, none)))
		q.ReplacePods([]*podwire.Pod{next(status(runs, none))})
		q.UpdatePod(next(status(waits, crashed)))
	}},
	{name: "in the last state of a list", ends: 1, calls: func(q *waiting.Queue, next func(func(*corev1.Pod)) *podwire.Pod) {
		q.ReplacePods([]*podwire.Pod{next(status(runs, none))})
		q.ReplacePods([]*podwire.Pod{next(status(waits, crashed))})
	}},
	{name: "in the last state of the oldest list", first: true, ends: 1, calls: func(q *waiting.Queue, next func(func(*corev1.Pod)) *podwire.Pod) {
		q.UpdatePod(next(status(runs, none)))
		q.ReplacePods([]*podwire.Pod{next(status(waits, crashed))})
	}},
	{name: "in a deletion", ends: 1, calls: func(q *waiting.Queue, next func(func(*corev1.Pod)) *podwire.Pod) {
		q.UpdatePod(next(status(runs, none)))
		q.DeletePod(next(status(crashed, none)))
	}},
	{name: "in the first state", ends: 0, calls: func(q *waiting.Queue, next func(func(*corev1.Pod)) *podwire.Pod) {
		q.UpdatePod(next(status(waits, crashed)))
	}},
}

// If so many lists wait for a slow store that only the oldest and the ends of the others are
// kept, a reader of the store is shown each end. This holds for a pod that the oldest list does
// not have too.
func TestEndsInManyWaitingLists(t *testing.T) {
	for _, test := range waitingEnds {
		store := watchsource.NewStore()
		slow := &slowStore{store: store, called: make(chan struct{}), proceed: make(chan struct{})}
		q := waiting.NewQueue(waiting.Config{
			Store: slow, Rules: &podstate.Rules{Executor: choice.Named(executorContainer)}, Mark: &usercode.Mark{},
			Catches: func() bool { return false },
		})
		q.ObserveResourceVersion("1")
		<-slow.called // everything waits from here on
		version := 0
		next := func(change func(*corev1.Pod)) *podwire.Pod {
			version++
			p := podtest.Pod("1", change)
			p.UID, p.ResourceVersion = "u", fmt.Sprint(version)
			return podwire.Of(p)
		}
		if !test.first {
			q.ReplacePods(nil)
		}
		test.calls(q, next)
		for range waiting.MaxWaitingLists + 1 {
			q.ReplacePods(nil)
		}
		batch, stop := iter.Pull(store.Batches(t.Context(), 0))
		batch()
		close(slow.proceed)
		emptied := make(chan struct{})
		q.Then(func() { close(emptied) })
		<-emptied
		q.Stop()
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
			t.Errorf("%s: shown %d ends, want %d", test.name, ends, test.ends)
		}
	}
}

const executorContainer = "spark-kubernetes-executor"

// A slowStore does not return from its first call before proceed is closed.
type slowStore struct {
	store           *watchsource.Store
	first           sync.Once
	called, proceed chan struct{}
}

func (s *slowStore) ObserveResourceVersion(string) {
	s.first.Do(func() { close(s.called) })
	<-s.proceed
}

func (s *slowStore) UpdatePod(pod *podwire.Pod) { s.store.UpdatePod(decoded(pod)) }
func (s *slowStore) DeletePod(pod *podwire.Pod) { s.store.DeletePod(decoded(pod)) }

func (s *slowStore) ReplacePods(pods []*podwire.Pod) {
	all := make([]*corev1.Pod, len(pods))
	for i, pod := range pods {
		all[i] = decoded(pod)
	}
	s.store.ReplaceSnapshot(all)
}

func decoded(pod *podwire.Pod) *corev1.Pod {
	p, err := pod.Decode()
	if err != nil {
		panic(err)
	}
	return p
}
