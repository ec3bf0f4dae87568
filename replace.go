// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/executorpods/watchsource/internal/podwire"
)

// ReplaceSnapshot implements [SnapshotsStore]. The pods replace the known states even
// if their resource versions are older, because a server that was restored from a
// backup counts its versions again. The store reports every other executor to readers
// as gone, with its last known state. It keeps the pods, which must not change.
func (s *Store) ReplaceSnapshot(pods []*corev1.Pod) { s.replacePods(received(pods)) }

func (s *Store) replacePods(pods []*podwire.Pod) {
	for _, c := range s.replace(pods) {
		if c.After.State != Deleted {
			s.logProblem(c.Before, c.After)
		}
	}
}

// replace stores the states of all pods. It returns the changes: first the executors
// that have left, then those that are new or in another state.
func (s *Store) replace(pods []*podwire.Pod) []Change {
	s.mu.Lock()
	defer s.unlock()
	before, had := &s.current.Load().view, s.positions
	list := s.readList(pods, before, &had)
	next, has := newView(list.executors, before)
	for _, now := range list.readings {
		if index, ok := has.of(now.executor.key()); ok { // or another pod of the list has its name
			has.setEnds(now.executor, index, now.ends)
		}
	}
	next.syncedAt = time.Now()
	s.positions = has
	s.publish(next)
	changes := list.changes(before, &had, &next, &has)
	for _, c := range changes {
		first, after := had.step(c.Before), has.step(c.After)
		if c.After.State == Deleted {
			after.ends = first.ends
		} else {
			first = s.notifyMissed(first, list.missed[c.After.key()])
		}
		s.notify(first, after)
	}
	return changes
}

// A readList is what a store has read from a list.
type readList struct {
	readings  []reading
	executors []*Executor
	// replaced has the pods that are other ones than the known pods of their names.
	replaced map[types.UID]bool
	// missed has the executors at ends that only the last state of their containers shows.
	missed map[types.UID]*Executor
}

// readList reads the pods of a list that follows a view. s.mu is held.
func (s *Store) readList(pods []*podwire.Pod, before *view, had *positions) readList {
	list := readList{
		readings: make([]reading, len(pods)), executors: make([]*Executor, len(pods)),
		replaced: map[types.UID]bool{}, missed: map[types.UID]*Executor{},
	}
	for i, pod := range pods {
		key := pod.Key()
		index, known := before.of(had, key)
		now := s.rules.read(pod, known, had.endsOf(known, index))
		if known != nil && known.equals(now.executor) && known.hasPodOf(now.executor) {
			now.executor = known
		}
		if now.missed != nil {
			list.missed[key] = now.missed
		}
		if now.replaced {
			list.replaced[key] = true
		}
		list.readings[i], list.executors[i] = now, now.executor
	}
	return list
}

// changes returns the changes from the view before the list to the view next.
func (l *readList) changes(before *view, had *positions, next *view, has *positions) []Change {
	var changes []Change
	for known := range before.all() {
		if _, here := has.byKey[known.key()]; !here || l.replaced[known.key()] {
			changes = append(changes, Change{Before: known, After: known.gone()})
		}
	}
	for e := range next.all() {
		_, known := before.of(had, e.key())
		if l.replaced[e.key()] {
			known = nil
		}
		if known == nil || !known.equals(e) {
			changes = append(changes, Change{Before: known, After: e})
		}
	}
	return changes
}

// received wraps the pods that a caller of the public API has passed.
func received(pods []*corev1.Pod) []*podwire.Pod {
	all := make([]*podwire.Pod, len(pods))
	for i, pod := range pods {
		all[i] = podwire.Of(pod)
	}
	return all
}
