// SPDX-License-Identifier: Apache-2.0

package waiting

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/executorpods/watchsource/internal/podstate"
	"github.com/executorpods/watchsource/internal/podwire"
	"github.com/executorpods/watchsource/internal/usercode"
)

// A store that keeps up receives each list and each state. If more calls wait, a Queue
// merges them.
const (
	mergeFrom       = 1024 // calls
	maxWaitingLists = 4
)

// A Receiver is a store that receives pods in their wire form, or decoded if they came so.
type Receiver interface {
	UpdatePod(*podwire.Pod)
	DeletePod(*podwire.Pod)
	ReplacePods([]*podwire.Pod)
	ObserveResourceVersion(string)
}

// A Config says what a [Queue] calls.
type Config struct {
	Store Receiver
	// Rules are those by which states are merged.
	Rules *podstate.Rules
	// Mark says whether the store is being called.
	Mark *usercode.Mark
	// Catches reports whether a panic of the store is passed to Caught. Otherwise it ends the
	// program, with its stack.
	Catches func() bool
	Caught  func(recovered any)
}

// A Queue calls a store in a separate goroutine, so that a store that blocks does not
// delay the watch. If many calls wait, the states of a pod are merged. An end is not
// merged away.
type Queue struct {
	// Fixed after NewQueue.
	Config
	wake chan struct{} // holds a token while there is something to do
	done chan struct{} // closed when the store is not called any more

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

func (c *queuedCall) make(store Receiver) {
	switch c.kind {
	case updatePod:
		store.UpdatePod(c.pod)
	case deletePod:
		store.DeletePod(c.pod)
	case replaceSnapshot:
		store.ReplacePods(c.pods)
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

// NewQueue returns a Queue that calls the store until Stop.
func NewQueue(c Config) *Queue {
	q := &Queue{Config: c, wake: make(chan struct{}, 1), done: make(chan struct{}), lastOf: map[types.UID]*queuedCall{}}
	go q.run()
	return q
}

// UpdatePod implements [Receiver], as the following methods do.
func (q *Queue) UpdatePod(pod *podwire.Pod) {
	q.mu.Lock()
	defer q.mu.Unlock()
	key := pod.Key()
	last := q.lastOf[key]
	if last == nil || last.kind != updatePod {
		q.append(key, &queuedCall{kind: updatePod, pod: pod, state: read(q.Rules, nil, pod)})
		return
	}
	now := read(q.Rules, last.state, pod)
	if len(q.waiting) < mergeFrom || !now.MayReplace(last.state) {
		q.append(key, &queuedCall{kind: updatePod, pod: pod, state: now})
		return
	}
	now.Replace(last.state)
	last.pod, last.state = pod, now
}

func (q *Queue) DeletePod(pod *podwire.Pod) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.append(pod.Key(), &queuedCall{kind: deletePod, pod: pod})
}

// ReplacePods queues a list. If too much waits, it keeps the oldest list and drops all
// other states but the ends, see ends.
func (q *Queue) ReplacePods(pods []*podwire.Pod) {
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
func (q *Queue) ends() []*queuedCall {
	kept := keptCalls{others: map[types.UID]*queuedCall{}}
	listed := false
	for _, c := range q.waiting {
		switch {
		case c.kind == updatePod, c.kind == deletePod:
			kept.put(c)
		case c.kind == replaceSnapshot && !listed:
			listed = true
			for _, pod := range c.pods {
				if read(q.Rules, nil, pod).HasToPass() {
					kept.putOther(pod.Key())
				}
			}
			clear(kept.others)
			kept.calls = append(kept.calls, c)
		case c.kind == replaceSnapshot:
			for _, pod := range c.pods {
				kept.put(&queuedCall{kind: updatePod, pod: pod, state: read(q.Rules, nil, pod)})
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
	key := c.pod.Key()
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

func (q *Queue) ObserveResourceVersion(resourceVersion string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if n := len(q.waiting); n > 0 {
		q.waiting[n-1].version = resourceVersion
	} else {
		q.append("", &queuedCall{kind: observeVersion, version: resourceVersion})
	}
}

// Then calls f after all calls that wait now.
func (q *Queue) Then(f func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.append("", &queuedCall{kind: callBack, back: f})
}

// append adds a call. q.mu is held.
func (q *Queue) append(key types.UID, c *queuedCall) {
	q.waiting = append(q.waiting, c)
	if key != "" {
		q.lastOf[key] = c
	}
	q.signal()
}

func (q *Queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// Stop drops the calls that wait. It returns when the store is not called any more, and reports
// whether it was called.
func (q *Queue) Stop() (called bool) {
	q.mu.Lock()
	q.stopped = true
	q.signal()
	q.mu.Unlock()
	<-q.done
	return q.called
}

// run makes the calls.
func (q *Queue) run() {
	defer close(q.done)
	defer q.catch()
	for range q.wake {
		for _, c := range q.take() {
			if q.isStopped() {
				return
			}
			q.Mark.Enter(usercode.Store)
			q.called = true
			c.make(q.Store)
			q.Mark.Leave()
		}
		if q.isStopped() {
			return
		}
	}
}

// catch is deferred.
func (q *Queue) catch() {
	if !q.Catches() {
		return
	}
	if recovered := recover(); recovered != nil {
		q.Caught(recovered)
	}
}

func (q *Queue) isStopped() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.stopped
}

func (q *Queue) take() []*queuedCall {
	q.mu.Lock()
	defer q.mu.Unlock()
	calls := q.waiting
	q.waiting, q.lastOf, q.waitingLists = nil, map[types.UID]*queuedCall{}, 0
	return calls
}
