// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/executorpods/watchsource/internal/podstate"
	"github.com/executorpods/watchsource/internal/podwire"
)

// A store that keeps up receives each list and each state. If more calls wait, a callQueue
// merges them.
const (
	mergeFrom  = 1024 // calls
	maxWaiting = 4    // lists
)

// A callQueue calls a store in a separate goroutine, so that a store that blocks does not
// delay the watch. If many calls wait, the states of a pod are merged. An end is not
// merged away.
type callQueue struct {
	// Fixed after newCallQueue.
	store   podReceiver
	session *session
	wake    chan struct{} // holds a token while there is something to do
	done    chan struct{} // closed when the store is not called any more

	// Owned by the goroutine of run until done is closed.
	called bool // the store

	// Guarded by mu.
	mu      sync.Mutex
	waiting []*call
	last    map[types.UID]*call // the last call that waits for each pod, since the last list
	lists   int                 // that wait
	stopped bool
}

// A call waits for the store.
type call struct {
	kind    callKind
	pod     *podwire.Pod      // of updatePod and deletePod
	state   *podstate.Waiting // of updatePod
	pods    []*podwire.Pod    // of replaceSnapshot
	back    func()            // of callBack
	version string            // to be observed after the call, "" for none
}

func (c *call) make(store podReceiver) {
	switch c.kind {
	case updatePod:
		store.updatePod(c.pod)
	case deletePod:
		store.deletePod(c.pod)
	case replaceSnapshot:
		store.replacePods(c.pods)
	case callBack:
		c.back()
	}
	if c.version != "" {
		store.ObserveResourceVersion(c.version)
	}
}

type callKind uint8

const (
	updatePod callKind = iota
	deletePod
	replaceSnapshot
	callBack       // of the session
	observeVersion // only
)

func newCallQueue(store podReceiver, s *session) *callQueue {
	q := &callQueue{
		store: store, session: s,
		wake: make(chan struct{}, 1), done: make(chan struct{}), last: map[types.UID]*call{},
	}
	go q.run()
	return q
}

// updatePod implements podReceiver, as the following methods do.
func (q *callQueue) updatePod(pod *podwire.Pod) {
	q.mu.Lock()
	defer q.mu.Unlock()
	key := podKeyOf(pod)
	last := q.last[key]
	if last == nil || last.kind != updatePod {
		q.append(key, &call{kind: updatePod, pod: pod, state: wait(q.session.rules, nil, pod)})
		return
	}
	now := wait(q.session.rules, last.state, pod)
	if len(q.waiting) < mergeFrom || !now.Absorb(last.state) {
		q.append(key, &call{kind: updatePod, pod: pod, state: now})
		return
	}
	last.pod, last.state = pod, now
}

func (q *callQueue) deletePod(pod *podwire.Pod) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.append(podKeyOf(pod), &call{kind: deletePod, pod: pod})
}

// replacePods queues a list. If too much waits, it keeps the oldest list and drops all
// other states but the ends, see ends.
func (q *callQueue) replacePods(pods []*podwire.Pod) {
	q.mu.Lock()
	defer q.mu.Unlock()
	clear(q.last)
	defer q.append("", &call{kind: replaceSnapshot, pods: pods})
	if q.lists++; q.lists <= maxWaiting && len(q.waiting) < mergeFrom {
		return
	}
	q.lists = 2
	q.waiting = q.ends()
}

// ends returns the calls that wait without most of those that show no end. Before a state that
// shows an end, or the deletion of a pod, it leaves the newest of the pod's other states: a
// store that does not have the pod would not understand the end.
func (q *callQueue) ends() []*call {
	var kept []*call
	others := map[types.UID]*call{} // the newest state of a pod that was not kept
	keepOther := func(key types.UID) {
		if other := others[key]; other != nil {
			delete(others, key)
			other.version = "" // newer ones may have been observed
			kept = append(kept, other)
		}
	}
	put := func(c *call) {
		key := podKeyOf(c.pod)
		if c.kind == updatePod && !c.state.HasToPass() {
			others[key] = c
			return
		}
		keepOther(key)
		kept = append(kept, c)
	}
	listed := false // the oldest list is kept
	for _, c := range q.waiting {
		switch c.kind {
		case updatePod, deletePod:
			put(c)
		case replaceSnapshot:
			for _, pod := range c.pods {
				now := wait(q.session.rules, nil, pod)
				if listed {
					put(&call{kind: updatePod, pod: pod, state: now})
				} else if now.HasToPass() {
					keepOther(podKeyOf(pod))
				}
			}
			if !listed {
				listed = true
				clear(others)
				kept = append(kept, c)
			}
		default:
			kept = append(kept, c)
		}
	}
	return kept
}

func (q *callQueue) ObserveResourceVersion(resourceVersion string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if n := len(q.waiting); n > 0 {
		q.waiting[n-1].version = resourceVersion
	} else {
		q.append("", &call{kind: observeVersion, version: resourceVersion})
	}
}

// then calls f after all calls that wait now.
func (q *callQueue) then(f func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.append("", &call{kind: callBack, back: f})
}

// append adds a call. q.mu is held.
func (q *callQueue) append(key types.UID, c *call) {
	q.waiting = append(q.waiting, c)
	if key != "" {
		q.last[key] = c
	}
	q.signal()
}

func (q *callQueue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// stop drops the calls that wait, and returns when the store is not called any more.
func (q *callQueue) stop() {
	q.mu.Lock()
	q.stopped = true
	q.signal()
	q.mu.Unlock()
	<-q.done
}

// run makes the calls.
func (q *callQueue) run() {
	defer close(q.done)
	defer q.session.catchStore()
	for range q.wake {
		for _, c := range q.take() {
			if q.isStopped() {
				return
			}
			q.session.calling.Store(theStore)
			q.called = true
			c.make(q.store)
			q.session.calling.Store(nothing)
		}
		if q.isStopped() {
			return
		}
	}
}

func (q *callQueue) isStopped() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.stopped
}

func (q *callQueue) take() []*call {
	q.mu.Lock()
	defer q.mu.Unlock()
	calls := q.waiting
	q.waiting, q.last, q.lists = nil, map[types.UID]*call{}, 0
	return calls
}
