// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"

	"github.com/executorpods/watchsource/internal/departed"
	"github.com/executorpods/watchsource/internal/places"
	"github.com/executorpods/watchsource/internal/podwire"
	"github.com/executorpods/watchsource/internal/rv"
)

// records are the executors of a store by their owners, and its readers. A [Store] has one owner
// for all executors.
//
// The exported methods, last and known lock mu. The other methods need it locked.
type records struct {
	// Fixed after init.
	rules        rules
	logger       logr.Logger
	backlogLimit int
	// first is the partition of a Store. In a [StoreBy] it stands for each owner without executors.
	first *partition
	// isDivided is true in a StoreBy.
	isDivided bool

	// followVersions asks a shared watch, or the watches of several namespaces, for a version that no
	// event of the application brings, until the function that it returns is called. It is nil for
	// other sources.
	followVersions atomic.Pointer[func(version string) (stop func())]
	// observesVersions is true while several watches feed the store: the version of a pod is then not
	// that of the store.
	observesVersions atomic.Bool
	// advanced fires when the store has received a newer version.
	advanced signal

	// mu is held to change a partition, and guards the fields below.
	mu         sync.Mutex
	pods       places.Places
	partitions []*partition // by their numbers, nil for a number that is free
	free       []uint32     // the numbers that are free
	readers    map[*reader]struct{}
	departed   departed.Pods[Executor]
	// eventVersion is the version of the last event. It is empty once the store has received
	// everything up to it.
	eventVersion string
	// unwoken is true if such a version has not woken the calls that wait for other owners.
	unwoken bool
	// versionBeforeList is the version before a list whose version is yet to come.
	versionBeforeList string
	// lagging and problems are what unlock logs.
	lagging  []Backlog
	problems []*Executor

	owners owners
}

// owners find the newest view of an owner. The mutex of the records is held too to change them.
type owners struct {
	// mu is never held for longer than it takes to look up an owner, or to publish the views of
	// a list.
	mu         sync.RWMutex
	partitions map[any]*partition
	// resourceVersion is the version up to which the store has received everything.
	resourceVersion string
}

func (r *records) init(o storeOptions, isDivided bool) {
	r.rules, r.logger, r.backlogLimit, r.isDivided = o.rules, o.logger, o.backlogLimit, isDivided
	r.first = newPartition(0, nil, view{}, false)
	r.partitions, r.pods = []*partition{r.first}, places.New(0)
	view, slots := newView(nil, r.first.view(), r.first.number, &r.pods)
	r.first.slots = slots
	r.first.publish(view)
	r.readers, r.owners.partitions = map[*reader]struct{}{}, map[any]*partition{}
}

// update stores the state of a pod. The store then has received everything up to a version.
func (r *records) update(p *partition, pod *podwire.Pod, version string) {
	view := *p.view()
	index, known := p.of(&r.pods, pod.Key())
	before := stepOf(known, r.pods.Ends())
	now := r.rules.read(pod, known, p.endsOf(&r.pods, known, index))
	e := now.executor
	if now.replaced {
		view, known, before = r.removeNamesake(p, view, e), nil, step{}
	}
	switch {
	case known == nil:
		view = r.removeNamesake(p, view, e)
		index = p.slots.Take()
		r.pods.Put(e.key(), places.Place{Partition: p.number, Index: uint32(index)})
		view = view.added(e, index, rv.Number(e.ResourceVersion))
	case rv.Older(e.ResourceVersion, known.ResourceVersion):
		return
	case !e.sameNames(known):
		first := view.firstVersion(known)
		view = r.removeNamesake(p, view.without(known, index), e)
		view = view.added(e, index, first)
	default:
		view = view.changed(known, e, index)
	}
	view.resourceVersion = rv.Newer(view.resourceVersion, version)
	p.publish(view)
	p.setEnds(&r.pods, e, index, now.ends)
	r.note(p, r.noteMissed(p, before, now.missed), stepOf(e, r.pods.Ends()))
}

// removeNamesake removes the previous pod of the same name from a view if its
// deletion was never reported.
func (r *records) removeNamesake(p *partition, view view, e *Executor) view {
	last := view.named(e.Namespace, e.Name)
	if last == nil {
		return view
	}
	index, _ := p.of(&r.pods, last.key())
	view = view.without(last, index)
	left := stepOf(last, r.pods.Ends())
	r.release(p, last, index)
	r.note(p, left, left.gone(Missed))
	return view
}

// release frees the place of an executor that has left.
func (r *records) release(p *partition, e *Executor, index int) {
	r.pods.Remove(e.key())
	p.slots.Release(index)
}

// remove removes a pod that has left, in its last state. A pod that the partition does not have
// is ignored.
func (r *records) remove(p *partition, pod *podwire.Pod, how Departure, version string) {
	view := *p.view()
	index, known := p.of(&r.pods, pod.Key())
	if known == nil {
		return
	}
	before := stepOf(known, r.pods.Ends())
	now := r.rules.read(pod, known, p.endsOf(&r.pods, known, index))
	if now.replaced && how == Unselected { // another pod has the name
		how = Missed
	}
	if now.replaced || rv.Older(now.executor.ResourceVersion, known.ResourceVersion) {
		now = reading{executor: known, ends: p.endsOf(&r.pods, known, index)}
	}
	last := step{Executor: now.executor, ends: now.ends.Shown}
	view = view.without(known, index)
	r.release(p, known, index)
	view.resourceVersion = rv.Newer(view.resourceVersion, version)
	p.publish(view)
	before = r.noteMissed(p, before, now.missed)
	if last.State.Ended() && last.ends > before.ends {
		// An end that shows for the first time in the pod's last state.
		r.note(p, before, last)
		before = last
	}
	r.note(p, before, last.gone(how))
}

// noteMissed notes a missed end that follows the step before, if there is one. It returns the
// last step.
func (r *records) noteMissed(p *partition, before step, missed *Executor) step {
	if missed == nil {
		return before
	}
	after := step{Executor: missed, ends: before.ends + 1}
	r.note(p, before, after)
	return after
}

// A division is a list of the pods of one owner. It has the view of the partition before and after.
type division struct {
	partition *partition
	list      listReading
	before    view
	view      view
	slots     places.Slots
	changes   []Change
}

// An ownedList is a list by owners.
type ownedList struct {
	// namespace is that of the list, empty for a list of all. A list of one does not change the
	// executors of the others.
	namespace string
	// syncedAt is when the oldest of the lists arrived from which the store then has its pods.
	syncedAt time.Time
	pods     map[*partition][]*podwire.Pod
	// moved has the pods of the list that have left their owners.
	moved map[types.UID]bool
}

// replace stores the pods of a list.
func (r *records) replace(list ownedList) {
	had, has := r.pods, places.New(r.pods.Len())
	restarted := r.first.current.Load().stopped
	var divisions []division
	for _, p := range r.partitions {
		if p == nil {
			continue
		}
		d := division{partition: p, list: r.rules.readList(list.namespace, list.pods[p], p, &had), before: *p.view()}
		d.view, d.slots = newView(d.list.executors, &d.before, p.number, &has)
		d.view.syncedAt = list.syncedAt
		divisions = append(divisions, d)
	}
	r.pods = has
	r.publishAll(divisions)
	for i := range divisions {
		d := &divisions[i]
		d.changes = d.partition.changesTo(&d.before, &had, &has, d.list.replaced, list.moved)
	}
	r.noteChanges(divisions, &had)
	for _, d := range divisions {
		r.forgetIfUnused(d.partition)
	}
	if restarted {
		r.departed.Forget() // they were of another application
	}
}

// publishAll makes the views of a list the newest ones. The versions of the list are yet to come.
func (r *records) publishAll(divisions []division) {
	r.owners.mu.Lock()
	defer r.owners.mu.Unlock()
	if had := r.owners.resourceVersion; had != "" {
		r.versionBeforeList = had
	}
	r.owners.resourceVersion, r.eventVersion = "", ""
	for i := range divisions {
		d := &divisions[i]
		d.partition.slots = d.slots
		d.partition.publish(d.view)
		for _, now := range d.list.readings {
			if index, e := d.partition.of(&r.pods, now.executor.key()); e != nil { // or another pod of the list has its name
				d.partition.setEnds(&r.pods, now.executor, index, now.ends)
			}
		}
	}
}

// noteChanges notes what a list has changed. A pod that has moved leaves its owner before it comes to
// another one, as in an event.
func (r *records) noteChanges(divisions []division, had *places.Places) {
	for i := range divisions {
		d := &divisions[i]
		for _, c := range d.changes {
			if c.Gone != 0 {
				left := stepOf(c.Before, had.Ends())
				r.note(d.partition, left, left.gone(c.Gone))
			}
		}
	}
	for i := range divisions {
		d := &divisions[i]
		for _, c := range d.changes {
			if c.Gone == 0 {
				first := r.noteMissed(d.partition, stepOf(c.Before, had.Ends()), d.list.missed[c.After.key()])
				r.note(d.partition, first, stepOf(c.After, r.pods.Ends()))
			}
		}
	}
}

// note tells everybody of a change.
func (r *records) note(p *partition, before, after step) {
	if after.Problem != "" && !after.isGone() && (before.Executor == nil || before.Problem != after.Problem) {
		r.problems = append(r.problems, after.Executor)
	}
	r.noteEnd(p, before, after)
	if len(r.readers) == 0 {
		return
	}
	now := time.Now()
	for reader := range r.readers {
		if reader.isStopped {
			continue // the reader is of the time before the source stopped
		}
		reader.add(p, before, after, r.pods.Ends(), now)
		if reader.lags(now) {
			reader.logged = true
			r.lagging = append(r.lagging, reader.backlog())
		}
	}
}

// noteEnd tells the calls that wait for the end of an executor. It remembers an executor that has
// left, in the state of its end if it had one.
func (r *records) noteEnd(p *partition, before, after step) {
	pod := departed.Pod{Owner: p.owner, Key: after.key(), Namespace: after.Namespace, Name: after.Name, ResourceVersion: after.ResourceVersion}
	switch {
	case !after.isGone():
		if after.State.Ended() && after.ends > before.ends {
			r.departed.Ended(pod, *after.Executor)
		}
	case before.Executor != nil && before.State.Ended():
		r.departed.Left(pod, *before.Executor, r.pods.Len())
	default:
		r.departed.Left(pod, *after.Executor, r.pods.Len())
	}
}

// unlock releases r.mu, and then logs the readers that lag and the problems of pods. A logger may
// block, so r.mu must not be held.
func (r *records) unlock() {
	lagging, problems := r.lagging, r.problems
	r.lagging, r.problems = nil, nil
	r.mu.Unlock()
	for _, e := range problems {
		r.logger.Info("Executor pod not fully understood",
			"pod", types.NamespacedName{Namespace: e.Namespace, Name: e.Name}, "problem", e.Problem)
	}
	for _, b := range lagging {
		r.logger.Info("Reader of batches lags", "reader", b.Reader, "changes", b.Changes, "since", b.Since, "dropped", b.Dropped)
	}
}

// observeResourceVersion notes the version up to which the store has received everything.
func (r *records) observeResourceVersion(resourceVersion string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.observe(resourceVersion)
}

// known returns what the store has of the pod with a UID, so that its next state can share it.
func (r *records) known(uid []byte) podwire.Known {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, ok := r.pods.OfUID(uid)
	if !ok {
		return podwire.Known{}
	}
	return r.executor(at).known()
}

// last implements podStore.
func (r *records) last(key types.UID) (known podwire.Known, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, ok := r.pods.Of(key)
	if !ok {
		return podwire.Known{}, false
	}
	return r.executor(at).known(), true
}

// executor returns the executor at a place.
func (r *records) executor(at places.Place) *Executor {
	return r.partitions[at.Partition].view().executors.Get(int(at.Index))
}
