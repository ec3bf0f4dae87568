// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"

	"github.com/executorpods/watchsource"
)

// A model of a store by owners, compared with it in random histories.

// Random calls of a store by owners, in which pods move between owners, with readers that come, lag,
// leave and outlive a stop of the source. Each batch must lead from the reader's last view of the
// owner to the snapshot of the batch. Each end and each departure of a pod from an owner must be
// shown once, or be counted by Missed.
func TestStoreByEqualsModel(t *testing.T) {
	r := random(t)
	for i := range 150 {
		limit := 0
		if i%3 == 0 {
			limit = 1 + r.IntN(20)
		}
		m := newOwnersModel(t, limit)
		for range 300 {
			m.step(r)
			m.compare()
		}
		m.stop()
		m.drain()
	}
}

// modelOwners are the owners of the model. A pod with the last one has no owner.
var modelOwners = []string{"a", "b", "c", "d", ""}

// A stay identifies a pod with one of its owners.
type stay struct{ owner, uid string }

// ownersModel is a store with its expected contents, and readers that check their batches.
type ownersModel struct {
	t *testing.T
	// limit bounds the backlogs, 0 for none.
	limit   int
	store   *watchsource.StoreBy[string]
	pods    map[string]*corev1.Pod
	version int
	readers []*ownersReader
	// stopped are the readers of the time before the source stopped.
	stopped []*ownersReader
}

// ownersReader rebuilds the views of all owners from changes alone.
type ownersReader struct {
	roundReader
	owed, shown events
	// missed has what Missed counts, by owner.
	missed map[string]int
	// view has the states by owner and UID, and last the expected view when the source stopped.
	view, last map[stay]watchsource.State
	seen       map[string]bool // the owners of which a batch has come
}

// events are the ends of stays, and how they were left.
type events struct {
	ends map[stay]int
	gone map[stay][]watchsource.Departure
}

func newEvents() events {
	return events{map[stay]int{}, map[stay][]watchsource.Departure{}}
}

func newOwnersModel(t *testing.T, limit int) *ownersModel {
	store := watchsource.NewStoreBy(byJob, watchsource.WithBacklogLimit(limit), watchsource.WithLogger(logr.Logger{}))
	return &ownersModel{t: t, limit: limit, store: store, pods: map[string]*corev1.Pod{}, version: 1}
}

func (m *ownersModel) step(r *rand.Rand) {
	m.version++
	name := fmt.Sprint("exec-", r.IntN(12))
	known := m.pods[name]
	switch n := r.IntN(40); {
	case n == 0:
		m.stop()
		m.replace(r)
	case n < 3:
		m.replace(r)
	case n < 5 && len(m.readers) < 4:
		m.fill(r)
		m.subscribe()
	case n == 5 && len(m.readers) > 1:
		m.readers[0].stop()
		m.readers = m.readers[1:]
	case n < 15 && len(m.readers) > 0:
		m.fill(r)
		m.read(m.readers[r.IntN(len(m.readers))])
	case n < 19 && known != nil:
		m.remove(known, r)
	case n == 19 && known != nil && ownerIn(known) != "":
		m.tellOlder(known, r)
	case n == 20 && known != nil: // its deletion was missed
		m.update(m.new(name, ownerIn(known)))
	case known != nil:
		m.update(m.next(known, r))
	default:
		m.update(m.new(name, modelOwners[r.IntN(len(modelOwners))]))
	}
	m.store.ObserveResourceVersion(fmt.Sprint(m.version))
}

func ownerIn(p *corev1.Pod) string { return p.Labels[job] }

func stayOf(p *corev1.Pod) stay { return stay{ownerIn(p), string(p.UID)} }

func setOwner(p *corev1.Pod, owner string) {
	if p.Labels[job] = owner; owner == "" {
		delete(p.Labels, job)
	}
}

// fill creates a pod, so that there is something to read.
func (m *ownersModel) fill(r *rand.Rand) {
	if known := m.pods["exec-100"]; known != nil {
		m.remove(known, r)
	}
	m.update(m.new("exec-100", "a"))
}

// new returns a new pod.
func (m *ownersModel) new(name, owner string) *corev1.Pod {
	p := pod(name[len("exec-"):], uid(fmt.Sprint("u", m.version)), version(fmt.Sprint(m.version)), phase(corev1.PodPending))
	setOwner(p, owner)
	return p
}

// next returns another state of a pod, which may have another owner. An end is final.
func (m *ownersModel) next(p *corev1.Pod, r *rand.Rand) *corev1.Pod {
	next := p.DeepCopy()
	next.ResourceVersion = fmt.Sprint(m.version)
	if !modelEnded(p) {
		next.Status.Phase = modelPhases[r.IntN(len(modelPhases))]
	}
	if r.IntN(3) == 0 {
		setOwner(next, modelOwners[r.IntN(len(modelOwners))])
	}
	return next
}

// update calls UpdatePod with a state of a pod.
func (m *ownersModel) update(p *corev1.Pod) {
	switch known := m.pods[p.Name]; {
	case known == nil:
	case known.UID != p.UID:
		m.leave(known, watchsource.Missed)
	case stayOf(known) != stayOf(p):
		if modelEnded(p) && !modelEnded(known) { // shown to the first owner too
			m.end(known)
		}
		m.leave(known, watchsource.Unselected)
	}
	m.enter(p)
	m.store.UpdatePod(p)
}

// remove calls DeletePod. Its last state may have another owner.
func (m *ownersModel) remove(p *corev1.Pod, r *rand.Rand) {
	last := m.next(p, r)
	if modelEnded(last) && !modelEnded(p) {
		m.end(p)
	}
	m.leave(p, watchsource.Seen)
	m.store.DeletePod(last)
}

// tellOlder calls UpdatePod with an older state of a pod, which the store must ignore.
func (m *ownersModel) tellOlder(p *corev1.Pod, r *rand.Rand) {
	older := m.next(p, r)
	older.ResourceVersion = "1"
	m.store.UpdatePod(older)
}

// replace calls ReplaceSnapshot with a list that lacks some pods, and has others with another owner or
// twice.
func (m *ownersModel) replace(r *rand.Rand) {
	var list []*corev1.Pod
	for _, name := range slices.Sorted(maps.Keys(m.pods)) {
		known := m.pods[name]
		p := known
		switch r.IntN(5) {
		case 0:
			m.leave(known, watchsource.Missed)
			continue
		case 1:
			p = m.next(known, r)
			if r.IntN(4) == 0 {
				list = append(list, known)
			}
		}
		if stayOf(known) != stayOf(p) {
			m.leave(known, watchsource.Unselected)
		}
		m.enter(p)
		list = append(list, p)
	}
	m.store.ReplaceSnapshot(list)
}

// enter notes a state of a pod in the model, and the end that the readers are owed.
func (m *ownersModel) enter(p *corev1.Pod) {
	if known := m.pods[p.Name]; modelEnded(p) && (known == nil || !modelEnded(known)) {
		m.end(p)
	}
	m.pods[p.Name] = p
}

func (m *ownersModel) end(p *corev1.Pod) {
	for _, r := range m.readers {
		if ownerIn(p) != "" {
			r.owed.ends[stayOf(p)]++
		}
	}
}

func (m *ownersModel) leave(p *corev1.Pod, how watchsource.Departure) {
	delete(m.pods, p.Name)
	for _, r := range m.readers {
		if at := stayOf(p); at.owner != "" {
			r.owed.gone[at] = append(r.owed.gone[at], how)
		}
	}
}

// view returns the expected states of all owners.
func (m *ownersModel) view() map[stay]watchsource.State {
	states := map[corev1.PodPhase]watchsource.State{
		corev1.PodPending: watchsource.Pending, corev1.PodRunning: watchsource.Running,
		corev1.PodSucceeded: watchsource.Succeeded, corev1.PodFailed: watchsource.Failed,
	}
	view := map[stay]watchsource.State{}
	for _, p := range m.pods {
		if at := stayOf(p); at.owner != "" {
			view[at] = states[p.Status.Phase]
		}
	}
	return view
}

// compare compares the snapshots of all owners.
func (m *ownersModel) compare() {
	m.t.Helper()
	got, present := map[stay]watchsource.State{}, map[string]bool{}
	for _, owner := range modelOwners {
		snapshot := m.store.Snapshot(owner)
		if snapshot.ResourceVersion() != fmt.Sprint(m.version) {
			m.t.Fatalf("owner %s is at version %s, want %d", owner, snapshot.ResourceVersion(), m.version)
		}
		for e := range snapshot.All() {
			got[stay{owner, string(e.UID)}] = e.State
			present[owner] = true
		}
	}
	if want := m.view(); !maps.Equal(got, want) {
		m.t.Fatalf("the store has %v, want %v", got, want)
	}
	if all := slices.Sorted(m.store.Owners()); !slices.Equal(all, slices.Sorted(maps.Keys(present))) {
		m.t.Fatalf("Owners returns %v, want %v", all, present)
	}
}

// subscribe adds a reader. It is owed the ends of the pods that are present.
func (m *ownersModel) subscribe() {
	r := &ownersReader{
		roundReader: readRounds(m.t, m.store, 0), owed: newEvents(), shown: newEvents(),
		missed: map[string]int{}, view: map[stay]watchsource.State{}, seen: map[string]bool{},
	}
	for at, state := range m.view() {
		if state.Ended() {
			r.owed.ends[at]++
		}
	}
	m.readers = append(m.readers, r)
	m.read(r)
}

// read takes one batch, and checks that it leads to the snapshot beside it.
func (m *ownersModel) read(r *ownersReader) (ok bool) {
	m.t.Helper()
	owner, batch, ok := r.next()
	switch {
	case !ok:
		return false
	case !batch.Full && batch.Missed > 0, batch.Full && r.seen[owner] && m.limit == 0:
		m.t.Fatalf("full %v with %d missed without a limit", batch.Full, batch.Missed)
	case !batch.Full && m.limit > 0 && len(batch.Changes) > m.limit:
		m.t.Fatalf("a backlog of %d changes, want at most %d", len(batch.Changes), m.limit)
	case batch.Full:
		maps.DeleteFunc(r.view, func(at stay, _ watchsource.State) bool { return at.owner == owner })
		r.missed[owner] += batch.Missed
	case len(batch.Changes) == 0:
		m.t.Fatalf("a batch of %s has no changes", owner)
	}
	r.seen[owner] = true
	for _, c := range batch.Changes {
		m.follow(r, owner, c)
	}
	n := 0
	for at, state := range r.view {
		if at.owner == owner {
			n++
			if !slices.ContainsFunc(slices.Collect(batch.Snapshot.All()), func(e watchsource.Executor) bool {
				return string(e.UID) == at.uid && e.State == state
			}) {
				m.t.Fatalf("the changes lead to %v of %v, want it as in the snapshot", state, at)
			}
		}
	}
	if n != batch.Snapshot.Len() {
		m.t.Fatalf("the changes lead to %d executors of %s, want the %d of the snapshot", n, owner, batch.Snapshot.Len())
	}
	return true
}

// follow applies a change to the view of a reader.
func (m *ownersModel) follow(r *ownersReader, owner string, c watchsource.Change) {
	m.t.Helper()
	at := stay{owner, string(c.After.UID)}
	before, known := r.view[at]
	if known != (c.Before != nil) || known && before != c.Before.State {
		m.t.Fatalf("a change of %v from %v, want it from what the reader was shown: %v %v", at, c.Before, known, before)
	}
	if c.Ended {
		r.shown.ends[at]++
	}
	if r.view[at] = c.After.State; c.After.State == watchsource.Deleted {
		delete(r.view, at)
		r.shown.gone[at] = append(r.shown.gone[at], c.Gone)
	}
}

// stop calls ObserveStop. Its readers must be shown all changes until then.
func (m *ownersModel) stop() {
	m.store.ObserveStop()
	for _, r := range m.readers {
		r.last = m.view()
	}
	m.stopped, m.readers = append(m.stopped, m.readers...), nil
}

// drain reads what waits for the readers of a source that has stopped, and checks that it is all.
func (m *ownersModel) drain() {
	m.t.Helper()
	for _, r := range m.stopped {
		for m.read(r) {
		}
		if !maps.Equal(r.view, r.last) {
			m.t.Fatalf("the changes lead to %v, want %v", r.view, r.last)
		}
		unseen := map[string]int{}
		for at, owed := range r.owed.gone {
			shown := r.shown.gone[at]
			if m.limit == 0 && !slices.Equal(shown, owed) || len(shown) > len(owed) {
				m.t.Fatalf("a reader was shown that %v left as %v, want %v", at, shown, owed)
			}
			unseen[at.owner] += len(owed) - len(shown)
		}
		for _, owner := range modelOwners {
			if unseen[owner] != r.missed[owner] {
				m.t.Fatalf("%d executors of %s left without being shown, want the %d that Missed counts", unseen[owner], owner, r.missed[owner])
			}
		}
		for at := range r.shown.ends {
			if r.shown.ends[at] > r.owed.ends[at] {
				m.t.Fatalf("a reader was shown %d ends of %v, want %d", r.shown.ends[at], at, r.owed.ends[at])
			}
		}
		for at, owed := range r.owed.ends {
			if missed := owed - r.shown.ends[at]; missed > len(r.owed.gone[at])-len(r.shown.gone[at]) {
				m.t.Fatalf("a reader was shown %d ends of %v, want %d", r.shown.ends[at], at, owed)
			}
		}
	}
	m.stopped = nil
}
