// SPDX-License-Identifier: Apache-2.0

package watchtest

import (
	"net/http"
	"slices"
	"sync"
	"time"
)

// A Fault is something that goes wrong with coming requests: with which, how
// often, and what. The zero values of its fields, but for Do, strike every
// request until the fault is lifted.
type Fault struct {
	// On are the verbs that it strikes, joined with |; 0 is all of them.
	On Verb
	// If, unless nil, further chooses among the requests.
	If func(Request) bool
	// Skip is how many such requests pass unharmed first.
	Skip int
	// Times is how many are struck after that, 0 for all that come.
	Times int
	// After is how many frames of a watch or streaming list, bookmarks
	// included, go before the effect; 0 is at once. Any other request is
	// carried out first if After is not 0, so that it is the answer that is
	// late, lost or wrong.
	After int
	// Do is what happens.
	Do Effect
}

// injection is a fault at work.
type injection struct {
	Fault
	lifted chan struct{}

	// Guarded by Server.mu.
	met    int // requests it was meant for so far
	struck int // of them, those it struck
}

// strike is an effect that happens to one request.
type strike struct {
	effect Effect
	after  int
	lifted chan struct{}
}

// Inject makes future requests fail until the fault is used up or lifted. Lifting also
// ends effects that last: requests that hang are answered, and silent streams deliver the
// frames that they held back. Lifting again does nothing.
//
// Faults strike in the order of their injection. Several can strike the same
// request, up to the first that answers it or breaks it off, so faults with
// Times make a script: the second begins where the first is spent.
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

// strikesFor records a request and returns what happens to it.
func (s *Server) strikesFor(r Request) []strike {
	s.mu.Lock()
	s.requests = append(s.requests, r)
	faults := slices.Clone(s.faults)
	s.mu.Unlock()

	// The test's own function is called without the lock.
	faults = slices.DeleteFunc(faults, func(in *injection) bool { return !in.meant(r) })

	s.mu.Lock()
	defer s.mu.Unlock()
	var strikes []strike
	for _, in := range faults {
		if !in.hit() {
			continue
		}
		k := strike{effect: in.Do, after: in.After, lifted: in.lifted}
		strikes = append(strikes, k)
		if k.final() {
			break
		}
	}
	return strikes
}

func (in *injection) meant(r Request) bool {
	return (in.On == 0 || in.On&r.Verb != 0) && (in.If == nil || in.If(r))
}

// hit counts a request and tells whether the fault strikes it.
func (in *injection) hit() bool {
	if closed(in.lifted) || in.Times > 0 && in.struck >= in.Times {
		return false
	}
	in.met++
	if in.met <= in.Skip {
		return false
	}
	in.struck++
	return true
}

// final tells whether the strike leaves nothing for others to do.
func (k strike) final() bool {
	return k.after == 0 && (k.effect.kind == answering || k.effect.kind == breaking && !k.effect.late)
}

// apply applies the effects that replace or precede an answer. It returns the effects for
// the body, or the result of the request.
func (c *call) apply(strikes []strike) ([]strike, *http.Response, error) {
	var left []strike
	for _, k := range strikes {
		switch {
		case k.after > 0:
			left = append(left, k)
		case k.final() && k.effect.kind == breaking:
			return nil, nil, k.effect.err
		case k.final():
			return nil, c.refuse(statusError(k.effect.status), left), nil
		case k.effect.kind == hang || k.effect.kind == delay:
			if err := c.wait(k); err != nil {
				return nil, nil, err
			}
		default:
			left = append(left, k)
		}
	}
	return left, nil, nil
}

// endureLate is endure once the request is carried out.
func (c *call) endureLate(strikes []strike) ([]strike, *http.Response, error) {
	for i := range strikes {
		strikes[i].after = 0
	}
	return c.apply(strikes)
}

// wait holds the request up.
func (c *call) wait(k strike) error {
	var over <-chan time.Time
	if k.effect.kind == delay {
		over = time.After(k.effect.pause)
	}
	ctx := c.http.Context()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-k.lifted:
		return nil
	case <-over:
		return nil
	}
}
