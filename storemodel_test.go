// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/podtest"
)

// A model of the store, compared with it in random histories.

// Random calls of a store, with readers that come, lag and leave. Each batch must lead
// from the reader's last snapshot to the new one, with every end and every deletion in it.
// After a dropped backlog the batch must have everything present, and count the executors
// that left.
func TestStoreEqualsModel(t *testing.T) {
	r := random(t)
	for i := range 300 {
		limit := 0
		if i%3 == 0 {
			limit = 1 + r.IntN(20)
		}
		m := newModel(t, limit)
		for range 300 {
			m.step(r)
		}
		m.check()
	}
}

// model is a store with its expected contents, and readers that check their batches.
type model struct {
	t *testing.T
	// limit bounds the backlogs, 0 for none.
	limit   int
	store   *watchsource.Store
	pods    map[string]*corev1.Pod
	version int
	readers []*modelReader
}

// modelReader rebuilds the view from changes alone.
type modelReader struct {
	batchReader
	// view has the states by UID.
	view map[string]watchsource.State
	// ends counts the ends by UID, since the reader came.
	ends map[string]int
	gone map[string]int
	owed struct{ ends, gone map[string]bool }

	batches, missed int
}

func newModel(t *testing.T, limit int) *model {
	return &model{t: t, limit: limit, store: watchsource.NewStore(watchsource.WithBacklogLimit(limit)), pods: map[string]*corev1.Pod{}}
}

var modelPhases = []corev1.PodPhase{corev1.PodPending, corev1.PodRunning, corev1.PodSucceeded, corev1.PodFailed}

func (m *model) step(r *rand.Rand) {
	m.version++
	id := fmt.Sprint(r.IntN(12))
	known := m.pods["exec-"+id]
	switch n := r.IntN(20); {
	case n == 0:
		m.replace(r)
	case n == 1 && len(m.readers) < 4:
		reader := &modelReader{
			batchReader: newBatchReader(m.t, m.store, 0), view: map[string]watchsource.State{}, ends: map[string]int{},
			gone: map[string]int{},
		}
		reader.owed.ends, reader.owed.gone = map[string]bool{}, map[string]bool{}
		m.readers = append(m.readers, reader)
		m.read(reader)
	case n == 2 && len(m.readers) > 1:
		m.readers[0].stop()
		m.readers = m.readers[1:]
	case n < 6 && len(m.readers) > 0:
		m.update(pod("100", uid(fmt.Sprint("u", m.version)))) // so that there is something to read
		m.read(m.readers[r.IntN(len(m.readers))])
	case n < 9 && known != nil:
		m.leave(known)
		m.store.DeletePod(m.stamped(known))
		delete(m.pods, known.Name)
	case known != nil && modelEnded(known):
		// An end is final; the pod may only be asked to go.
		m.update(m.stamped(known))
	case known != nil:
		next := m.stamped(known)
		next.Status.Phase = modelPhases[r.IntN(len(modelPhases))]
		m.update(next)
	default:
		m.update(pod(id, uid(fmt.Sprint("u", m.version)), phase(modelPhases[r.IntN(2)])))
	}
}

func modelEnded(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded
}

func (m *model) stamped(p *corev1.Pod) *corev1.Pod {
	next := p.DeepCopy()
	next.ResourceVersion = fmt.Sprint(m.version)
	return next
}

func (m *model) update(p *corev1.Pod) {
	p = m.stamped(p)
	if known := m.pods[p.Name]; known != nil && known.UID != p.UID {
		m.leave(known)
	}
	m.enter(p)
	m.pods[p.Name] = p
	m.store.UpdatePod(p)
}

func (m *model) replace(r *rand.Rand) {
	var list []*corev1.Pod
	for name, p := range m.pods {
		switch r.IntN(4) {
		case 0:
			m.leave(p)
			delete(m.pods, name)
			continue
		case 1:
			if !modelEnded(p) {
				p = m.stamped(p)
				p.Status.Phase = modelPhases[r.IntN(len(modelPhases))]
				m.enter(p)
				m.pods[name] = p
			}
		}
		list = append(list, p)
	}
	m.store.ReplaceSnapshot(list)
}

func (m *model) enter(p *corev1.Pod) {
	for _, r := range m.readers {
		if modelEnded(p) {
			r.owed.ends[string(p.UID)] = true
		}
	}
}

func (m *model) leave(p *corev1.Pod) {
	for _, r := range m.readers {
		r.owed.gone[string(p.UID)] = true
	}
}

// read takes one batch, and checks that it leads to the snapshot beside it.
func (m *model) read(r *modelReader) {
	m.t.Helper()
	batch, ok := r.next()
	if !ok {
		m.t.Fatal("the batches have ended, want another batch")
	}
	if r.batches++; batch.Full {
		if r.batches > 1 && m.limit == 0 {
			m.t.Fatal("a backlog was given up, want it kept without a limit")
		}
		clear(r.view)
		r.missed += batch.Missed
	} else if m.limit > 0 && len(batch.Changes) > m.limit {
		m.t.Fatalf("a backlog of %d changes, want at most %d", len(batch.Changes), m.limit)
	}
	for _, c := range batch.Changes {
		key := string(c.After.UID)
		before, known := r.view[key]
		if known != (c.Before != nil) || known && before != c.Before.State {
			m.t.Fatalf("a change of %s from %v, want it from what the reader was shown: %v %v", key, c.Before, known, before)
		}
		if c.After.State.Ended() && !before.Ended() && !(batch.Full && r.ends[key] > 0) {
			r.ends[key]++
		}
		if c.After.State == watchsource.Deleted {
			r.gone[key]++
			delete(r.view, key)
		} else {
			r.view[key] = c.After.State
		}
	}
	if len(r.view) != batch.Snapshot.Len() {
		m.t.Fatalf("the changes lead to %d executors, want the %d of the snapshot", len(r.view), batch.Snapshot.Len())
	}
	for e := range batch.Snapshot.All() {
		if r.view[string(e.UID)] != e.State {
			m.t.Fatalf("the changes lead to %v for %s, want %v as in the snapshot", r.view[string(e.UID)], e.Name, e.State)
		}
	}
}

func (m *model) check() {
	m.t.Helper()
	m.version++
	m.update(pod("100", uid("end")))
	snapshot := m.store.Snapshot()
	if snapshot.Len() != len(m.pods) {
		m.t.Fatalf("%d executors, want %d", snapshot.Len(), len(m.pods))
	}
	for name, p := range m.pods {
		if e, ok := snapshot.Get(name); !ok || !podtest.Equal(keptPod(m.t, e), p) {
			m.t.Fatalf("Get(%s) = %v, %+v, want the newest pod", name, ok, e)
		}
	}
	for _, r := range m.readers {
		m.read(r)
		r.stop()
		unseen := 0
		for key := range r.owed.gone {
			if m.limit > 0 && r.gone[key] == 0 {
				unseen++
			} else if r.gone[key] != 1 {
				m.t.Fatalf("a reader was shown %d deletions of %s, want 1", r.gone[key], key)
			}
		}
		if unseen != r.missed {
			m.t.Fatalf("%d executors left without being shown, want the %d that Missed counts", unseen, r.missed)
		}
		for key := range r.owed.ends {
			if m.limit > 0 && r.ends[key] == 0 && r.owed.gone[key] && r.gone[key] == 0 {
				continue // missed
			}
			if r.ends[key] != 1 {
				m.t.Fatalf("a reader was shown %d ends of %s, want 1", r.ends[key], key)
			}
		}
	}
}
