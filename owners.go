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

// forgetIfUnused removes the partition of an owner that has no executors and no unread changes.
func (r *records) forgetIfUnused(p *partition) {
	if p == r.first || p.unread > 0 || p.view().byName.Len() > 0 || r.partitions[p.number] != p {
		return
	}
	r.owners.mu.Lock()
	delete(r.owners.partitions, p.owner)
	r.owners.mu.Unlock()
	r.partitions[p.number] = nil
	r.free = append(r.free, p.number)
	p.current.Load().supersede()
}

// find returns the partition of a pod and its executor, nil if the store does not have it.
func (r *records) find(pod *podwire.Pod) (*partition, *Executor) {
	at, ok := r.pods.Of(pod.Key())
	if !ok {
		return nil, nil
	}
	return r.partitions[at.Partition], r.executor(at)
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
	p := r.owners.partitions[owner]
	if p == nil {
		p = r.first
	}
	return r.newestOf(p)
}

// newestOf returns the newest view of a partition. An event of another owner has advanced the
// version too. r.owners.mu is held.
func (r *records) newestOf(p *partition) (*published, Snapshot) {
	v := p.current.Load()
	version := rv.Newer(v.view.resourceVersion, r.owners.resourceVersion)
	if version == v.view.resourceVersion {
		return v, Snapshot{&v.view}
	}
	view := v.view
	view.resourceVersion = version
	return v, Snapshot{&view}
}

// observe notes the version up to which the store has received everything.
func (r *records) observe(resourceVersion string) {
	if !r.isDivided {
		r.first.advance(resourceVersion)
	}
	newest := rv.Newer(r.owners.resourceVersion, resourceVersion)
	if newest == r.owners.resourceVersion {
		return
	}
	r.owners.mu.Lock()
	r.owners.resourceVersion = newest
	r.owners.mu.Unlock()
	r.advanced.fire()
	if newest == r.eventVersion {
		return
	}
	r.departed.ForgetOld(time.Now())
	if r.isDivided { // the condition of a call that waits may look at the version
		for _, p := range r.partitions {
			if p != nil {
				p.wake()
			}
		}
	}
}

// ofFirst returns the newest view of a store with one owner.
func (r *records) ofFirst() (*published, Snapshot) {
	v := r.first.current.Load()
	return v, Snapshot{&v.view}
}
