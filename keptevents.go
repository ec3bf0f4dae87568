// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"github.com/executorpods/watchsource/internal/podstate"
	"github.com/executorpods/watchsource/internal/podwire"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

// keptEvents holds the newest event of each pod, and those before it that show an end, or
// that the pod left. That it left takes the place of no other event, because a store ignores
// it if it does not have the pod.
type keptEvents struct {
	events []keptEvent
	lastOf map[types.UID]int // the index of a pod's newest event
}

type keptEvent struct {
	watch.Event
	pod   *podwire.Pod
	state *podstate.Waiting
	left  bool // the pod left the application
}

func (k *keptEvents) put(event keptEvent, rules *podstate.Rules) {
	key := podKeyOf(event.pod)
	if i, ok := k.lastOf[key]; ok && !k.events[i].left {
		event.state = wait(rules, k.events[i].state, event.pod)
		if !event.left && event.state.Absorb(k.events[i].state) {
			k.events[i] = event
			return
		}
	} else {
		event.state = wait(rules, nil, event.pod)
	}
	if k.lastOf == nil {
		k.lastOf = map[types.UID]int{}
	}
	k.lastOf[key] = len(k.events)
	k.events = append(k.events, event)
}
