// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"time"

	"github.com/executorpods/watchsource/internal/podwire"
	"github.com/executorpods/watchsource/internal/rv"
)

// partitionOf returns the partition of an owner. It adds the partition of a new owner.
func (r *records) partitionOf(owner any) *partition {
	if p := r.owners.partitions[owner]; p != nil {
		return p
	}
	number := uint32(len(r.partitions))
	if last := len(r.free) - 1; last >= 0 {
		number, r.free = r.free[last], r.free[:last]
	} else {
		r.partitions = append(r.partitions, nil)
	}
	none := r.first.current.Load()
	p := newPartition(number, owner, none.view, none.stopped)
	r.partitions[number] = p
	r.owners.mu.Lock()
	r.owners.partitions[owner] = p
	r.owners.mu.Unlock()
	r.first.wake()
	return p
}

// forgetIfUnused removes the partition of an owner that has no executors and no unread changes. The
// store has received all of the event that removed the last executor, so the version of that event
// becomes the version of the store: the snapshot of the owner does not go back.
func (r *records) forgetIfUnused(p *partition) {
	if p == r.first || p.unread > 0 || p.view().byName.Len() > 0 || r.partitions[p.number] != p {
		return
	}
	r.owners.mu.Lock()
	delete(r.owners.partitions, p.owner)
	r.advanceTo(p.view().resourceVersion)
	r.owners.mu.Unlock()
	r.partitions[p.number] = nil
	r.free = append(r.free, p.number)
	p.current.Load().supersede()
}

// versionAfter returns the version up to which the store has received everything once it has received
// a pod that came without it.
func (r *records) versionAfter(pod *podwire.Pod) string {
	if !r.observesVersions.Load() {
		return pod.ResourceVersion
	}
	r.owners.mu.RLock()
	defer r.owners.mu.RUnlock()
	return r.owners.resourceVersion
}

// find returns the partition of a pod and its executor, nil if the store does not have it.
func (r *records) find(pod *podwire.Pod) (*partition, *Executor) {
	at, ok := r.pods.Of(pod.Key())
	if !ok {
		return nil, nil
	}
	return r.partitions[at.Partition], r.executor(at)
}

// hasLeft reports whether a pod of a list has left its owner. owner is its new one, nil for none.
func (r *records) hasLeft(pod *podwire.Pod, owner any) bool {
	p, known := r.find(pod)
	if known == nil || p.owner == owner {
		return false
	}
	index, _ := p.of(&r.pods, pod.Key())
	return !r.rules.read(pod, known, p.endsOf(&r.pods, known, index)).replaced // or it is another pod of the name
}

// knownOwner returns what the store has of a pod, and its owner. It locks r.mu.
func (r *records) knownOwner(pod *podwire.Pod) (known podwire.Known, owner any, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p, e := r.find(pod)
	if e == nil {
		return podwire.Known{}, nil, false
	}
	return e.known(), p.owner, true
}

// owned returns the owners that have an executor.
func (r *records) owned() []any {
	r.owners.mu.RLock()
	defer r.owners.mu.RUnlock()
	all := make([]any, 0, len(r.owners.partitions))
	for owner, p := range r.owners.partitions {
		if p.view().byName.Len() > 0 {
			all = append(all, owner)
		}
	}
	return all
}

// newest returns the newest view of an owner.
func (r *records) newest(owner any) (*published, Snapshot) {
	r.owners.mu.RLock()
	defer r.owners.mu.RUnlock()
	v := r.current(owner)
	return v, r.snapshotOf(v)
}

// awaited returns the newest view of an owner for a call that will wait for the next one. wake passes
// over a view without a channel, so the channel is made before an owner can come or the version can
// change.
func (r *records) awaited(owner any) (*published, Snapshot) {
	r.owners.mu.RLock()
	defer r.owners.mu.RUnlock()
	v := r.current(owner)
	v.superseded()
	return v, r.snapshotOf(v)
}

// current returns the newest view of an owner. r.owners.mu is held.
func (r *records) current(owner any) *published {
	p := r.owners.partitions[owner]
	if p == nil {
		p = r.first
	}
	return p.current.Load()
}

// snapshotOf returns the snapshot of a view that has been loaded since r.owners.mu was locked. An
// event of another owner has advanced the version too.
func (r *records) snapshotOf(v *published) Snapshot {
	version := rv.Newer(v.view.resourceVersion, r.owners.resourceVersion)
	if version == v.view.resourceVersion {
		return Snapshot{&v.view}
	}
	view := v.view
	view.resourceVersion = version
	return Snapshot{&view}
}

// observe notes the version up to which the store has received everything.
func (r *records) observe(resourceVersion string) {
	if !r.isDivided {
		r.first.advance(resourceVersion)
	}
	before := r.owners.resourceVersion
	now := rv.Newer(before, resourceVersion)
	if now != before {
		r.owners.mu.Lock()
		r.advanceTo(now)
		r.owners.mu.Unlock()
	}
	if rv.Older(now, r.versionBeforeList) { // a list has begun another history
		r.departed.Forget()
	}
	r.versionBeforeList = ""
	r.departed.ForgetOld(time.Now())
	switch {
	case now == r.eventVersion: // the event has woken the calls that wait for its owner
		r.eventVersion, r.unwoken = "", true
	case now != before || r.unwoken:
		r.unwoken = false
		r.wakeAll()
	}
}

// advanceTo notes a version. r.owners.mu is locked.
func (r *records) advanceTo(version string) {
	if newest := rv.Newer(r.owners.resourceVersion, version); newest != r.owners.resourceVersion {
		r.owners.resourceVersion = newest
		r.advanced.fire()
	}
}

// wakeAll wakes the calls that wait for any owner: a condition may look at the version.
func (r *records) wakeAll() {
	if !r.isDivided {
		return
	}
	for _, p := range r.partitions {
		if p != nil {
			p.wake()
		}
	}
}

// ofFirst returns the newest view of a store with one owner.
func (r *records) ofFirst() (*published, Snapshot) {
	v := r.first.current.Load()
	return v, Snapshot{&v.view}
}
