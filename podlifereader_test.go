// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/podstate"
	"github.com/executorpods/watchsource/internal/podstate/choice"
)

// The stores and the readers of a random life of a pod.

// lifeStore is a store, and how it gets the states of the pod.
type lifeStore struct {
	name    string
	store   *watchsource.Store
	watcher *watchsource.Watcher
	limited bool
	// mergedBy has the rules by which newer states take the place of older ones, as for a slow store of
	// a shared watch. It is nil if they do not.
	mergedBy *podstate.Rules
	waiting  waitingPods
}

// The rules by which states are merged: for a Store, and for a store of the user.
var (
	executorRule = &podstate.Rules{Executor: choice.Named(executorContainer)}
	anyContainer = podstate.AnyContainer
)

// waitingPods are states of one pod that wait for a slow store of a shared watch.
type waitingPods []waitingPod

type waitingPod struct {
	pod   *corev1.Pod
	state *podstate.Waiting
}

// put adds a state, or lets it take the place of the newest one.
func (w *waitingPods) put(rules *podstate.Rules, pod *corev1.Pod) (merged bool) {
	n := len(*w)
	if n == 0 {
		*w = append(*w, waitingPod{pod, rules.Wait(nil, pod)})
		return false
	}
	last := (*w)[n-1].state
	next := waitingPod{pod, rules.Wait(last, pod)}
	if merged = next.state.MayReplace(last); merged {
		next.state.Replace(last)
		n--
	}
	*w = append((*w)[:n], next)
	return merged
}

// endReader reads a store, and keeps the ends that it is shown.
type endReader struct {
	*lifeStore
	name    string
	batches batchReader
	// joined is the number of ends before the reader came.
	joined int
	// already is the number of these ends that the first batch shows.
	already int
	shown   []watchsource.Executor
}

// flush delivers the states that wait.
func (s *lifeStore) flush(t *testing.T) {
	for _, w := range s.waiting {
		must(t, s.watcher.Receive(modified(w.pod)))
	}
	s.waiting = nil
}

func inWords(state corev1.ContainerState) string {
	switch {
	case state.Running != nil:
		return "runs"
	case state.Waiting != nil:
		return "waits"
	case state.Terminated != nil && state.Terminated.ContainerID == "":
		return "lost"
	case state.Terminated != nil:
		return fmt.Sprintf("ended %s with %d", state.Terminated.ContainerID, state.Terminated.ExitCode)
	default:
		return "-"
	}
}

// read takes a batch. There is one, because another pod changes.
func (r *endReader) read(l *podLife) {
	l.marks++
	r.store.UpdatePod(pod("0", uid("mark"), version(fmt.Sprint(1000+l.marks))))
	batch, _ := r.batches.next()
	var last *watchsource.Executor
	for _, c := range batch.Changes {
		if c.After.Name != "exec-1" {
			continue
		}
		if c.Ended {
			r.shown = append(r.shown, *c.After)
			if !c.After.State.Ended() {
				l.t.Errorf("%s: an end in state %v, want Succeeded or Failed", r.name, c.After.State)
			}
		}
		last = c.After
	}
	if last == nil {
		return
	}
	switch e, ok := batch.Snapshot.Get(last.Name); {
	case last.State == watchsource.Deleted && ok:
		l.t.Errorf("%s: the snapshot has %v, want no executor after the change to Deleted", r.name, e.State)
	case last.State != watchsource.Deleted && e != *last:
		l.t.Errorf("%s: the snapshot has %+v, want the last change %+v", r.name, e, *last)
	}
}
