// SPDX-License-Identifier: Apache-2.0

package watchtest

import (
	"net/http"
	"slices"
	"sync"
	"time"
)

// A Fault applies an [Effect] to future requests. Its fields say to which requests and how
// often. With only Do set, the fault applies to every request until it is lifted.
type Fault struct {
	// On selects requests by verb. Join verbs with |. 0 selects all verbs.
	On Verb
	// If, if not nil, must also return true for a request to be selected.
	If func(Request) bool
	// Skip is the number of selected requests that pass before the first fault.
	Skip int
	// Times is the number of requests to fault after that. 0 means no limit.
	Times int
	// After is the number of frames, bookmarks included, that a watch or streaming
	// list sends before the effect. 0 means at once. For any other request, a value
	// other than 0 means that the server executes the request first, and the effect
	// delays, loses or changes the answer.
	After int
	// Do is the effect. It is required.
	Do Effect
}

// injection is a fault that was injected and not lifted.
type injection struct {
	Fault
	lifted chan struct{}

	// Guarded by Server.mu.
	seen    int // requests selected so far
	applied int // of these, the requests that the effect was applied to
}

// activeEffect is an effect on one request or stream. It starts after some frames and ends
// when lifted is closed.
type activeEffect struct {
	effect Effect
	after  int
	lifted chan struct{}
}

// Inject makes future requests fail until the fault is used up or lifted. Lifting also
// ends effects that last: requests that hang are answered, and silent streams deliver the
// frames that they held back. Lifting again does nothing.
//
// Faults apply in the order of their injection. Several faults can apply to the same
// request, up to the first that answers it or breaks its connection. So faults with Times
// form a script: the second starts when the first is used up.
func (s *Server) Inject(f Fault) (lift func()) {
	if f.Do.kind == none {
		panic("watchtest: a fault must do something")
	}
	in := &injection{Fault: f, lifted: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, in)
	return sync.OnceFunc(func() {
		s.mu.Lock()
		s.faults = slices.DeleteFunc(s.faults, func(other *injection) bool { return other == in })
		s.mu.Unlock()
		close(in.lifted)
	})
}

// effectsFor records a request and returns the effects of the faults that apply to it.
func (s *Server) effectsFor(r Request) []activeEffect {
	s.mu.Lock()
	s.requests = append(s.requests, r)
	faults := slices.Clone(s.faults)
	s.mu.Unlock()

	// Fault.If is the test's function. It is called without the lock.
	faults = slices.DeleteFunc(faults, func(in *injection) bool { return !in.matches(r) })

	s.mu.Lock()
	defer s.mu.Unlock()
	var effects []activeEffect
	for _, in := range faults {
		if !in.take() {
			continue
		}
		a := activeEffect{effect: in.Do, after: in.After, lifted: in.lifted}
		effects = append(effects, a)
		if a.final() {
			break
		}
	}
	return effects
}

// matches reports whether the fault selects a request.
func (in *injection) matches(r Request) bool {
	return (in.On == 0 || in.On&r.Verb != 0) && (in.If == nil || in.If(r))
}

// take counts a selected request and reports whether the fault applies to it.
func (in *injection) take() bool {
	if closed(in.lifted) || in.Times > 0 && in.applied >= in.Times {
		return false
	}
	in.seen++
	if in.seen <= in.Skip {
		return false
	}
	in.applied++
	return true
}

// final reports whether the effect ends the request, so that later faults do not apply.
func (a activeEffect) final() bool {
	return a.after == 0 && (a.effect.kind == answering || a.effect.kind == breaking && !a.effect.late)
}

// apply applies the effects that replace or precede an answer. It returns the effects for
// the body, or the result of the request if an effect decides it.
func (c *call) apply(effects []activeEffect) ([]activeEffect, *http.Response, error) {
	var left []activeEffect
	for _, a := range effects {
		switch {
		case a.after > 0:
			left = append(left, a)
		case a.final() && a.effect.kind == breaking:
			return nil, nil, a.effect.err
		case a.final():
			return nil, c.refuse(statusError(a.effect.status), left), nil
		case a.effect.kind == hang || a.effect.kind == delay:
			if err := c.wait(a); err != nil {
				return nil, nil, err
			}
		default:
			left = append(left, a)
		}
	}
	return left, nil, nil
}

// applyLate is apply after the server has executed the request.
func (c *call) applyLate(effects []activeEffect) ([]activeEffect, *http.Response, error) {
	for i := range effects {
		effects[i].after = 0
	}
	return c.apply(effects)
}

// wait blocks the request until the delay is over, the effect is lifted or the client gives
// up.
func (c *call) wait(a activeEffect) error {
	var delayed <-chan time.Time
	if a.effect.kind == delay {
		delayed = time.After(a.effect.pause)
	}
	ctx := c.http.Context()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-a.lifted:
		return nil
	case <-delayed:
		return nil
	}
}
