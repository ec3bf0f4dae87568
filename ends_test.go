// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/podstate"
)

// mainStatus adds the executor container, its status, and the end of the run before.
func mainStatus(id string, restarts int32, state corev1.ContainerState, last ...corev1.ContainerState) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		container(executorContainer, state)(p)
		status := &p.Status.ContainerStatuses[len(p.Status.ContainerStatuses)-1]
		status.ContainerID, status.RestartCount = id, restarts
		for _, end := range last {
			status.LastTerminationState = end
		}
	}
}

// endedIn is the end of a run with an ID, at a second.
func endedIn(id string, code int32, reason string, second int64) corev1.ContainerState {
	state := ended(code, reason)
	state.Terminated.ContainerID = id
	state.Terminated.FinishedAt = metav1.Unix(1_700_000_000+second, 0)
	return state
}

// A shownEnd is an end that a reader was shown.
type shownEnd struct {
	state    watchsource.State
	exitCode int32
}

// A delivery is a way in which the states of a pod reach a store and its reader.
type delivery struct {
	name    string
	options []watchsource.StoreOption
	trimmed bool
	// late says that the reader reads once, after the last state.
	late bool
	// leaves says that the pod is deleted in its last state.
	leaves bool
	// mergedBy has the rules by which newer states take the place of older ones, as for a slow
	// store of a shared watch. It is nil if they do not.
	mergedBy *podstate.Rules
	// behind says that the store has received the first state before it became slow.
	behind  bool
	deliver func(*watchsource.Watcher, *corev1.Pod) error
}

var deliveries = []delivery{
	{name: "updates", deliver: updateWith},
	{name: "lists", deliver: replaceWith},
	{name: "trimmed", trimmed: true, deliver: updateWith},
	{name: "without pods", options: []watchsource.StoreOption{watchsource.WithoutPods()}, deliver: updateWith},
	{name: "lists without pods", options: []watchsource.StoreOption{watchsource.WithoutPods()}, trimmed: true, deliver: replaceWith},
	{name: "late reader", late: true, deliver: updateWith},
	{name: "late reader of lists", late: true, deliver: replaceWith},
	{name: "deleted", leaves: true, deliver: updateWith},
	{name: "merged", mergedBy: executorRule, late: true, deliver: updateWith},
	{name: "merged behind the first", mergedBy: executorRule, behind: true, late: true, deliver: updateWith},
	{name: "merged for any container", mergedBy: anyContainer, late: true, deliver: updateWith},
	{name: "merged for any container behind the first", mergedBy: anyContainer, behind: true, late: true, deliver: updateWith},
}

func updateWith(w *watchsource.Watcher, p *corev1.Pod) error { return w.Receive(modified(p)) }

func replaceWith(w *watchsource.Watcher, p *corev1.Pod) error {
	w.Replace([]*corev1.Pod{p}, p.ResourceVersion)
	return nil
}

func deleteWith(w *watchsource.Watcher, p *corev1.Pod) error {
	return w.Receive(watch.Event{Type: watch.Deleted, Object: p})
}

// Sequences of states that random lives rarely have, with their sources. In each way in which
// they may reach a reader, it is shown the same ends.
func TestEndsOfRuns(t *testing.T) {
	cases := slices.Concat(restartedRuns, lostRuns, createdRuns, earlierRuns, forgetfulNodes, verdicts, otherContainers)
	for _, test := range cases {
		for _, policy := range test.policies {
			for _, way := range deliveries {
				if way.leaves && len(test.pods) == 1 {
					continue // the store ignores the deletion of a pod that it does not have
				}
				d := newEndsDelivery(t, way, policy)
				d.deliverAll(test.pods)
				d.check(test)
			}
		}
	}
}

// An endsDelivery brings the states of a pod to a store, and reads the ends.
type endsDelivery struct {
	t       *testing.T
	way     delivery
	policy  corev1.RestartPolicy
	store   *watchsource.Store
	watcher *watchsource.Watcher
	reader  batchReader
	ends    []shownEnd
	version int
}

func newEndsDelivery(t *testing.T, way delivery, policy corev1.RestartPolicy) *endsDelivery {
	store := watchsource.NewStore(way.options...)
	var options []watchsource.Option
	if way.trimmed {
		options = append(options, watchsource.WithTrimmedPods())
	}
	watcher := watchsource.NewWatcher(watchsource.Tee(store, &recordingStore{}), selectorOf(t, ""), options...)
	reader := newBatchReader(t, store, 0)
	reader.next()
	return &endsDelivery{t: t, way: way, policy: policy, store: store, watcher: watcher, reader: reader}
}

func (d *endsDelivery) deliverAll(pods []*corev1.Pod) {
	queue, last := waitingPods{}, len(pods)-1
	for i, p := range pods {
		switch {
		case d.way.mergedBy != nil && (i > 0 || !d.way.behind):
			queue.put(d.way.mergedBy, p)
		case d.way.leaves && i == last:
			d.deliver(p, deleteWith)
		default:
			d.deliver(p, d.way.deliver)
		}
		if i < last && !d.way.late {
			d.read()
		}
	}
	for _, w := range queue {
		d.deliver(w.pod, d.way.deliver)
	}
	d.read()
}

func (d *endsDelivery) deliver(p *corev1.Pod, to func(*watchsource.Watcher, *corev1.Pod) error) {
	d.version++
	p = p.DeepCopy()
	p.Spec.RestartPolicy, p.ResourceVersion = d.policy, fmt.Sprint(d.version)
	must(d.t, to(d.watcher, p))
}

func (d *endsDelivery) read() {
	batch, _ := d.reader.next()
	for _, c := range batch.Changes {
		if c.Ended {
			d.ends = append(d.ends, shownEnd{c.After.State, c.After.ExitCode})
		}
	}
}

func (d *endsDelivery) check(test endsCase) {
	name := fmt.Sprintf("%s, policy %s, %s", test.name, d.policy, d.way.name)
	if d.way.late { // it may be shown an end in a later state, which says more
		for i := range min(len(d.ends), len(test.ends)) {
			d.ends[i].exitCode = test.ends[i].exitCode
		}
	}
	if d.way.leaves {
		if n := len(d.ends); n != len(test.ends) {
			d.t.Errorf("%s: shown the ends %v, want %v", name, d.ends, test.ends)
		}
		return
	}
	e, _ := d.store.Snapshot().Get("exec-1")
	problem := d.way.mergedBy != nil || e.Problem == test.problem // the store may not have seen the end that it contradicts
	if !slices.Equal(d.ends, test.ends) || e.State != test.state || e.ExitCode != test.exitCode || e.Reason != test.reason || !problem {
		d.t.Errorf("%s: shown the ends %v, then %v, exit code %d, reason %q, problem %q;\nwant %v, %v, %d, %q, %q", name,
			d.ends, e.State, e.ExitCode, e.Reason, e.Problem, test.ends, test.state, test.exitCode, test.reason, test.problem)
	}

	// A deletion that shows the last state again adds no end.
	known := len(d.ends)
	d.deliver(test.pods[len(test.pods)-1], deleteWith)
	if d.read(); len(d.ends) != known {
		d.t.Errorf("%s: shown %v as the pod was deleted, want no end", name, d.ends[known:])
	}
}
