// SPDX-License-Identifier: Apache-2.0

// Package waiting keeps lists and states of pods that wait for a store, and merges states. It
// merges no end away, see [podstate.Waiting].
package waiting

import (
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/executorpods/watchsource/internal/podstate"
	"github.com/executorpods/watchsource/internal/podwire"
)

// Events holds the newest event of each pod, and those before it that show an end, or that the
// pod left. That it left takes the place of no other event, because a store ignores it if it
// does not have the pod. The zero Events holds none.
type Events struct {
	events []Event
	// lastOf has the index of a pod's newest event.
	lastOf map[types.UID]int
}

// An Event is an event that waits.
type Event struct {
	watch.Event
	Pod *podwire.Pod
	// Left is true if the pod left the application.
	Left bool

	state *podstate.Waiting
}

// All returns the events, those of one pod in their order.
func (e *Events) All() []Event { return e.events }

// Put adds an event. It merges the state with the pod's last one by the rules.
func (e *Events) Put(event Event, rules *podstate.Rules) {
	key := event.Pod.Key()
	if i, ok := e.lastOf[key]; ok && !e.events[i].Left {
		event.state = read(rules, e.events[i].state, event.Pod)
		if !event.Left && event.state.MayReplace(e.events[i].state) {
			event.state.Replace(e.events[i].state)
			e.events[i] = event
			return
		}
	} else {
		event.state = read(rules, nil, event.Pod)
	}
	if e.lastOf == nil {
		e.lastOf = map[types.UID]int{}
	}
	e.lastOf[key] = len(e.events)
	e.events = append(e.events, event)
}

// read reads a state that waits after another one, which is nil if none waits.
func read(rules *podstate.Rules, last *podstate.Waiting, pod *podwire.Pod) *podstate.Waiting {
	reader := podwire.Borrow()
	defer reader.GiveBack()
	return rules.Wait(last, reader.Read(pod))
}
