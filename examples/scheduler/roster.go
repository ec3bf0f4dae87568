// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strconv"
	"sync"
	"time"

	"github.com/executorpods/watchsource"
)

// roster has the executors that the scheduler counts on, each from its creation
// until it is struck off. An executor is struck off once, by whoever is the
// first to know that it works no more, and so each end counts once. It may be
// used by any goroutine.
type roster struct {
	mu      sync.Mutex
	members map[string]member // guarded by mu; by pod name
}

// member is one executor as the scheduler knows it.
type member struct {
	executor   watchsource.Executor // as last seen; only its name and id before
	registered time.Time
	version    string // from which on a view shows it; empty while unknown
}

func newRoster() *roster {
	return &roster{members: map[string]member{}}
}

// register counts on an executor that is about to be created. To do so after
// the answer would be too late: the watch may show its end before.
func (r *roster) register(podName string, executorID int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.members[podName]; known {
		return // tried before, and the answer was lost
	}
	r.members[podName] = member{
		executor: watchsource.Executor{
			Name:     podName,
			ID:       strconv.Itoa(executorID),
			ExitCode: watchsource.UnknownExitCode,
		},
		registered: time.Now(),
	}
}

// confirm notes the version at which an executor was created, unless it has come
// and gone by now.
func (r *roster) confirm(podName, version string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m, known := r.members[podName]; known {
		m.version = version
		r.members[podName] = m
	}
}

// meet notes how an executor was seen, and returns how it was before. One that
// is not known, because an earlier run has left it, is counted on from now on.
func (r *roster) meet(e watchsource.Executor) (before watchsource.Executor, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m, known := r.members[e.Name]
	if !known {
		m.registered = time.Now()
	}
	before = m.executor
	m.executor, m.version = e, e.ResourceVersion
	r.members[e.Name] = m
	return before, known
}

// strike counts on an executor no more. Only the first to call it for an
// executor is told true.
func (r *roster) strike(podName string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, known := r.members[podName]
	delete(r.members, podName)
	return known
}

func (r *roster) has(podName string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, known := r.members[podName]
	return known
}
