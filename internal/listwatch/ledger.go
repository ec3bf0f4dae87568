// SPDX-License-Identifier: Apache-2.0

package listwatch

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/executorpods/watchsource/internal/podwire"
	"github.com/executorpods/watchsource/internal/rv"
)

// podVersions are the resource versions of pods.
type podVersions map[podKey]string

// A ledger notes the version of each pod that the sink has received, so that a verification
// can compare them with a list. The goroutine of [Loop.Run] writes it.
type ledger struct {
	// Fixed after newLedger.
	selector labels.Selector // of the pods of events, nil if the server selects them

	// Guarded by mu, which is never held while the sink or Report is called.
	mu      sync.Mutex
	pods    podVersions
	version string        // up to which the sink has received everything, "" if unknown
	touched podKeys       // by events since begin, nil if no verification works
	moved   chan struct{} // closed at the next event or bookmark, nil if none waits for it
}

// replace notes a complete list.
func (l *ledger) replace(pods []*podwire.Pod, version string) {
	listed := make(podVersions, len(pods))
	for _, pod := range pods {
		listed[keyOf(pod)] = pod.ResourceVersion
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pods, l.version = listed, version
}

// receive notes an event that the sink has received, and the version that it is at since then.
func (l *ledger) receive(event watch.Event, version string) {
	pod, err := PodOf(event)
	if err != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if event.Type != watch.Bookmark {
		l.put(event.Type, pod)
	}
	l.version = version
	if l.moved != nil {
		close(l.moved)
		l.moved = nil
	}
}

// put notes the state of a pod. l.mu is held.
func (l *ledger) put(event watch.EventType, pod *podwire.Pod) {
	key := keyOf(pod)
	if l.touched != nil {
		l.touched[key] = struct{}{}
	}
	switch {
	case event == watch.Deleted, l.selector != nil && !pod.Matches(l.selector):
		delete(l.pods, key)
	case !rv.Older(pod.ResourceVersion, l.pods[key]): // the sink ignores older states
		l.pods[key] = pod.ResourceVersion
	}
}

// begin returns the version of the ledger. From then on until end the ledger notes which pods
// events have touched.
func (l *ledger) begin() (version string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.touched = podKeys{}
	return l.version
}

func (l *ledger) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.touched = nil
}

// awaitEvent waits for the next event or bookmark, and reports whether one has come within
// limit. Without versions it does not wait, because then no bookmark comes.
func (l *ledger) awaitEvent(ctx context.Context, limit time.Duration) bool {
	l.mu.Lock()
	if l.version == "" {
		l.mu.Unlock()
		return false
	}
	if l.moved == nil {
		l.moved = make(chan struct{})
	}
	moved := l.moved
	l.mu.Unlock()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-moved:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

// awaitVersion waits until the ledger has reached a version, for no longer than limit, and
// reports whether it has.
func (l *ledger) awaitVersion(ctx context.Context, version string, limit time.Duration) bool {
	for deadline := time.Now().Add(limit); rv.Older(l.at(), version); {
		if !l.awaitEvent(ctx, time.Until(deadline)) {
			return false
		}
	}
	return true
}

func (l *ledger) at() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.version
}

// A podChange is a difference between a list and the ledger.
type podChange struct {
	podKey
	what string // that the ledger lacks
}

// compare returns the pods that are not the same in a list and in the ledger, in the order of
// their names. It leaves out those that an event has touched since begin: the list may be from
// before or after that event.
func (l *ledger) compare(listed podVersions) []podChange {
	l.mu.Lock()
	defer l.mu.Unlock()
	var changes []podChange
	for key, version := range listed {
		held, known := l.pods[key]
		switch _, touched := l.touched[key]; {
		case touched, known && held == version:
		case known:
			changes = append(changes, podChange{key, "has changed"})
		default:
			changes = append(changes, podChange{key, "has appeared"})
		}
	}
	for key := range l.pods {
		_, touched := l.touched[key]
		if _, here := listed[key]; !here && !touched {
			changes = append(changes, podChange{key, "is gone"})
		}
	}
	slices.SortFunc(changes, func(a, b podChange) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), cmp.Compare(a.uid, b.uid))
	})
	return changes
}

// A lostEvents is what a verification has found that the watch did not bring.
type lostEvents []podChange // at least one

func (e lostEvents) Error() string {
	first := fmt.Sprintf("pod %s %s", e[0].NamespacedName, e[0].what)
	if len(e) == 1 {
		return "the watch has lost an event: " + first
	}
	return fmt.Sprintf("the watch has lost events of %d pods, the first: %s", len(e), first)
}
