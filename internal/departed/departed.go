// SPDX-License-Identifier: Apache-2.0

// Package departed remembers pods that have left a store, and ends the calls that wait for the end of
// a pod.
package departed

import (
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/executorpods/watchsource/internal/rv"
)

const (
	// rememberFor is how long a pod that has left is remembered.
	rememberFor = 2 * time.Minute
	// As many pods are remembered as were present at a time, and at least minRemembered.
	minRemembered = 128
)

// A Pod identifies a pod of an owner in one state.
type Pod struct {
	Owner any
	// Key is the UID of the pod.
	Key                              types.UID
	Namespace, Name, ResourceVersion string
}

// Pods are the pods that have left lately, and the calls that wait for an end. E is the result
// of a call. Pods is not safe for concurrent use. The zero value is ready to use.
type Pods[E any] struct {
	// left has the pods that have left, the oldest first.
	left []departure[E]
	// mostPresent is the largest number of pods that were present at a time.
	mostPresent int
	// waits has the calls that wait, by the name of the pod.
	waits map[string][]*Wait[E]
}

type departure[E any] struct {
	pod Pod
	end E
	at  time.Time
}

// Ended passes the end of a pod to the calls that wait for it.
func (p *Pods[E]) Ended(pod Pod, end E) {
	for _, w := range p.waits[pod.Name] {
		if w.IsFor(pod) {
			w.Tell(end, nil)
		}
	}
}

// Left passes the end of a pod that has left to the calls that wait for it, and remembers it. present is the number
// of pods that are present.
func (p *Pods[E]) Left(pod Pod, end E, present int) {
	p.Ended(pod, end)
	p.mostPresent = max(p.mostPresent, present+1)
	now := time.Now()
	p.left = append(p.left, departure[E]{pod, end, now})
	p.ForgetOld(now)
}

// ForgetOld forgets the pods that need not be remembered any more.
func (p *Pods[E]) ForgetOld(now time.Time) {
	for len(p.left) > max(p.mostPresent, minRemembered) || len(p.left) > 0 && now.Sub(p.left[0].at) > rememberFor {
		p.left[0] = departure[E]{} // the garbage collector can free the end
		p.left = p.left[1:]
	}
	if len(p.left) == 0 {
		p.left = nil
	}
}

// Forget forgets all pods that have left.
func (p *Pods[E]) Forget() { p.left, p.mostPresent = nil, 0 }

// Add adds a call that waits. If the pod has left, the call has its result at once. present is the key of
// the pod if the store has it, and empty otherwise: a pod that has come back has not left.
func (p *Pods[E]) Add(w *Wait[E], present types.UID) {
	if p.waits == nil {
		p.waits = map[string][]*Wait[E]{}
	}
	p.waits[w.Name] = append(p.waits[w.Name], w)
	for i := range p.left {
		if pod := p.left[i].pod; w.IsFor(pod) && (present == "" || pod.Key != present) {
			w.Tell(p.left[i].end, nil)
		}
	}
}

// Remove removes a call that does not wait any more.
func (p *Pods[E]) Remove(w *Wait[E]) {
	left := slices.DeleteFunc(p.waits[w.Name], func(other *Wait[E]) bool { return other == w })
	if len(left) > 0 {
		p.waits[w.Name] = left
	} else {
		delete(p.waits, w.Name)
	}
}

// Fail ends all calls that wait.
func (p *Pods[E]) Fail(err error) {
	var none E
	for _, waits := range p.waits {
		for _, w := range waits {
			w.Tell(none, err)
		}
	}
}

// A Wait is a call that waits for the end of a pod.
type Wait[E any] struct {
	owner any
	// Namespace is empty for any.
	Namespace, Name string
	// CreatedVersion is empty for any pod of the name. Otherwise an older state is one of an earlier
	// pod.
	CreatedVersion string

	result chan Result[E]
}

// A Result is the end of a pod, or why the call does not wait for it any more.
type Result[E any] struct {
	End E
	Err error
}

// NewWait returns a Wait for a pod, which is a name, or a namespace, a slash and a name.
func NewWait[E any](owner any, pod, createdVersion string) *Wait[E] {
	w := &Wait[E]{owner: owner, Name: pod, CreatedVersion: createdVersion, result: make(chan Result[E], 1)}
	if namespace, name, ok := strings.Cut(pod, "/"); ok {
		w.Namespace, w.Name = namespace, name
	}
	return w
}

// IsFor reports whether a call waits for the end of a pod.
func (w *Wait[E]) IsFor(pod Pod) bool {
	return pod.Name == w.Name && (w.Namespace == "" || pod.Namespace == w.Namespace) && pod.Owner == w.owner &&
		!rv.Older(pod.ResourceVersion, w.CreatedVersion)
}

// Tell passes a result to the call. Only the first has an effect.
func (w *Wait[E]) Tell(end E, err error) {
	select {
	case w.result <- Result[E]{end, err}:
	default:
	}
}

// Result returns the channel that has the result.
func (w *Wait[E]) Result() <-chan Result[E] { return w.result }
