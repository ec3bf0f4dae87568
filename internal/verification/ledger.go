// SPDX-License-Identifier: Apache-2.0

package verification

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/executorpods/watchsource/internal/failure"
	"github.com/executorpods/watchsource/internal/podclient"
	"github.com/executorpods/watchsource/internal/podmeta"
	"github.com/executorpods/watchsource/internal/podwire"
	"github.com/executorpods/watchsource/internal/rv"
)

type podKeys map[podmeta.Key]struct{}

// A ledger notes the version of each pod that the sink has received, so that a verification
// can compare them with a list. The goroutine of the loop writes it.
type ledger struct {
	// selector selects the pods of events. It is nil if the server selects them. It is fixed after New.
	selector labels.Selector

	// Guarded by mu, which is never held while the sink or a callback is called.
	mu   sync.Mutex
	pods podmeta.Versions
	// version is the one up to which the sink has received everything, "" if unknown.
	version string
	// touched has the pods that events have touched since begin. It is nil if no verification works.
	touched podKeys
	// moved is closed at the next event or bookmark. It is nil if none waits for it.
	moved chan struct{}
}

// replace notes a complete list.
func (l *ledger) replace(pods []*podwire.Pod, version string) {
	listed := make(podmeta.Versions, len(pods))
	for _, pod := range pods {
		listed[podmeta.KeyOf(pod)] = pod.ResourceVersion
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pods, l.version = listed, version
}

// receive notes an event that the sink has received, and the version that it is at since then.
func (l *ledger) receive(event watch.Event, version string) {
	pod, err := podclient.PodOf(event)
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
	key := podmeta.KeyOf(pod)
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
	podmeta.Key
	// what says what the ledger lacks.
	what string
}

// compare returns the pods that are not the same in a list and in the ledger, in the order of
// their names. It leaves out those that an event has touched since begin: the list may be from
// before or after that event.
func (l *ledger) compare(listed podmeta.Versions) []podChange {
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
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), cmp.Compare(a.UID, b.UID))
	})
	return changes
}

// lostEvents is what a verification has found that the watch did not bring, one change at the
// least.
type lostEvents []podChange

func (e lostEvents) Unwrap() error { return failure.ErrEventsLost }

func (e lostEvents) Error() string {
	first := fmt.Sprintf("pod %s %s", e[0].NamespacedName, e[0].what)
	if len(e) == 1 {
		return "the watch has lost an event: " + first
	}
	return fmt.Sprintf("the watch has lost events of %d pods, the first: %s", len(e), first)
}
