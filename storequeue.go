// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/executorpods/watchsource/internal/podstate"
	"github.com/executorpods/watchsource/internal/podwire"
)

// A store that keeps up receives each list and each state. If more calls wait, a storeQueue
// merges them.
const (
	mergeFrom       = 1024 // calls
	maxWaitingLists = 4
)

// A storeQueue calls a store in a separate goroutine, so that a store that blocks does not
// delay the watch. If many calls wait, the states of a pod are merged. An end is not
// merged away.
type storeQueue struct {
	// Fixed after newStoreQueue.
	store   podReceiver
	rules   *podstate.Rules // by which states are merged
	session *session
	wake    chan struct{} // holds a token while there is something to do
	done    chan struct{} // closed when the store is not called any more

	// Owned by the goroutine of run until done is closed.
	called bool // the store was called

	// Guarded by mu.
	mu      sync.Mutex
	waiting []*queuedCall
	// lastOf has the last call that waits for each pod, since the last list.
	lastOf       map[types.UID]*queuedCall
	waitingLists int
	stopped      bool
}

// A queuedCall waits for the store.
type queuedCall struct {
	kind  callKind
	pod   *podwire.Pod      // updatePod, deletePod
	state *podstate.Waiting // updatePod
	pods  []*podwire.Pod    // replaceSnapshot
	back  func()            // callBack
	// version is observed after the call, "" for none.
	version string
}

func (c *queuedCall) make(store podReceiver) {
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
	callBack       // not to the store
	observeVersion // only a version
)

func newStoreQueue(store podReceiver, rules *podstate.Rules, s *session) *storeQueue {
	q := &storeQueue{
		store: store, rules: rules, session: s,
		wake: make(chan struct{}, 1), done: make(chan struct{}), lastOf: map[types.UID]*queuedCall{},
	}
	go q.run()
	return q
}

// updatePod implements podReceiver, as the following methods do.
func (q *storeQueue) updatePod(pod *podwire.Pod) {
	q.mu.Lock()
	defer q.mu.Unlock()
	key := podKeyOf(pod)
	last := q.lastOf[key]
	if last == nil || last.kind != updatePod {
		q.append(key, &queuedCall{kind: updatePod, pod: pod, state: wait(q.rules, nil, pod)})
		return
	}
	now := wait(q.rules, last.state, pod)
	if len(q.waiting) < mergeFrom || !now.Absorb(last.state) {
		q.append(key, &queuedCall{kind: updatePod, pod: pod, state: now})
		return
	}
	last.pod, last.state = pod, now
}

func (q *storeQueue) deletePod(pod *podwire.Pod) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.append(podKeyOf(pod), &queuedCall{kind: deletePod, pod: pod})
}

// replacePods queues a list. If too much waits, it keeps the oldest list and drops all
// other states but the ends, see ends.
func (q *storeQueue) replacePods(pods []*podwire.Pod) {
	q.mu.Lock()
	defer q.mu.Unlock()
	clear(q.lastOf)
	defer q.append("", &queuedCall{kind: replaceSnapshot, pods: pods})
	if q.waitingLists++; q.waitingLists <= maxWaitingLists && len(q.waiting) < mergeFrom {
		return
	}
	q.waitingLists = 2
	q.waiting = q.ends()
}

// ends returns the calls that wait without most of those that show no end. It keeps the oldest
// list.
func (q *storeQueue) ends() []*queuedCall {
	kept := keptCalls{others: map[types.UID]*queuedCall{}}
	listed := false
	for _, c := range q.waiting {
		switch {
		case c.kind == updatePod, c.kind == deletePod:
			kept.put(c)
		case c.kind == replaceSnapshot && !listed:
			listed = true
			for _, pod := range c.pods {
				if wait(q.rules, nil, pod).HasToPass() {
					kept.putOther(podKeyOf(pod))
				}
			}
			clear(kept.others)
			kept.calls = append(kept.calls, c)
		case c.kind == replaceSnapshot:
			for _, pod := range c.pods {
				kept.put(&queuedCall{kind: updatePod, pod: pod, state: wait(q.rules, nil, pod)})
			}
		default:
			kept.calls = append(kept.calls, c)
		}
	}
	return kept.calls
}

// keptCalls are the calls that a queue keeps when it drops the others. Before a state that
// shows an end, or the deletion of a pod, they have the newest of the pod's other states: a
// store that does not have the pod would not understand the end.
type keptCalls struct {
	calls []*queuedCall
	// others has the newest state of each pod that was not kept.
	others map[types.UID]*queuedCall
}

// put keeps a call if it shows an end or a deletion.
func (k *keptCalls) put(c *queuedCall) {
	key := podKeyOf(c.pod)
	if c.kind == updatePod && !c.state.HasToPass() {
		k.others[key] = c
		return
	}
	k.putOther(key)
	k.calls = append(k.calls, c)
}

// putOther keeps the newest of a pod's other states.
func (k *keptCalls) putOther(key types.UID) {
	if other := k.others[key]; other != nil {
		delete(k.others, key)
		other.version = "" // newer ones may have been observed
		k.calls = append(k.calls, other)
	}
}

func (q *storeQueue) ObserveResourceVersion(resourceVersion string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if n := len(q.waiting); n > 0 {
		q.waiting[n-1].version = resourceVersion
	} else {
		q.append("", &queuedCall{kind: observeVersion, version: resourceVersion})
	}
}

// then calls f after all calls that wait now.
func (q *storeQueue) then(f func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.append("", &queuedCall{kind: callBack, back: f})
}

// append adds a call. q.mu is held.
func (q *storeQueue) append(key types.UID, c *queuedCall) {
	q.waiting = append(q.waiting, c)
	if key != "" {
		q.lastOf[key] = c
	}
	q.signal()
}

func (q *storeQueue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// stop drops the calls that wait. It returns when the store is not called any more, and reports
// whether it was called.
func (q *storeQueue) stop() (called bool) {
	q.mu.Lock()
	q.stopped = true
	q.signal()
	q.mu.Unlock()
	<-q.done
	return q.called
}

// run makes the calls.
func (q *storeQueue) run() {
	defer close(q.done)
	defer q.session.catch()
	for range q.wake {
		for _, c := range q.take() {
			if q.isStopped() {
				return
			}
			q.session.userCode.enter(theStore)
			q.called = true
			c.make(q.store)
			q.session.userCode.leave()
		}
		if q.isStopped() {
			return
		}
	}
}

func (q *storeQueue) isStopped() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.stopped
}

func (q *storeQueue) take() []*queuedCall {
	q.mu.Lock()
	defer q.mu.Unlock()
	calls := q.waiting
	q.waiting, q.lastOf, q.waitingLists = nil, map[types.UID]*queuedCall{}, 0
	return calls
}
