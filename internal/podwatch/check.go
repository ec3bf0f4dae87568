// SPDX-License-Identifier: Apache-2.0

package podwatch

import (
	"context"
	"time"

	"github.com/executorpods/watchsource/internal/failure"
	"github.com/executorpods/watchsource/internal/podclient"
	"github.com/executorpods/watchsource/internal/request"
	"github.com/executorpods/watchsource/internal/retry"
	"github.com/executorpods/watchsource/internal/rv"
)

// A check is given up checkGrace after the time in which the server is asked to answer, so that
// the server says the cause itself.
const (
	checkGrace = 5 * time.Second
	checkLimit = podclient.CheckTimeout + checkGrace
)

// A Checker asks for the server's version, which shows whether the server has its store.
type Checker struct {
	Client    podclient.Client
	Namespace string
	Selector  string
	// Contact notes the checks that are not answered, and those that [Checker.Beside] makes.
	Contact *retry.Contact
	// Report is called with each answer to a check that [Checker.Beside] makes, by any goroutine.
	Report func()
}

func (c *Checker) ask(ctx context.Context) (string, error) { return c.Client.Version(ctx, c.Selector) }

// Version returns the server's version.
func (c *Checker) Version(ctx context.Context) (string, error) {
	version, err := request.Do(ctx, checkLimit, c.ask)
	if err == nil {
		return version, nil
	}
	if !failure.RefusesClient(err) {
		c.Contact.Failed()
	}
	return "", &failure.RequestError{Kind: failure.CheckVersion, Namespace: podclient.VersionNamespace(c.Namespace), Err: err}
}

// Beside checks the server's version beside a stream, whenever that is due, until the function
// that it returns is called. It gives the stream up with the error of a check that is not
// answered, or that shows a new history. A probe shows by itself whether the server is there. The
// Checker of a fake is nil.
func (c *Checker) Beside(s *Stream) (stop func()) {
	if c == nil || s.Probe {
		return func() {}
	}
	ctx, cancel := context.WithCancel(s.ctx)
	busy := make(chan struct{}, 1) // holds a token during a check; a mutex would stop the clock of a synctest bubble
	var timer *time.Timer
	timer = time.AfterFunc(time.Hour, func() {
		busy <- struct{}{}
		defer func() { <-busy }()
		if wait, again := c.step(ctx, s); again {
			timer.Reset(wait)
		}
	})
	timer.Reset(time.Until(c.Contact.Due()))
	return func() {
		cancel()
		busy <- struct{}{}
		timer.Stop()
		<-busy
	}
}

// step makes a check if one is due, and returns the time until the next step.
func (c *Checker) step(ctx context.Context, s *Stream) (wait time.Duration, again bool) {
	if ctx.Err() != nil {
		return 0, false
	}
	if wait := time.Until(c.Contact.Due()); wait > 0 {
		return wait, true
	}
	if !s.waiting.Load() { // the store or the observer is silent, not the server
		return checkGrace, true
	}
	if err := c.check(ctx); err != nil {
		s.GiveUp(err)
		return 0, false
	}
	return time.Until(c.Contact.Due()), true
}

// check checks that the server has its store.
func (c *Checker) check(ctx context.Context) error {
	held := c.Contact.Version()
	version, err := c.Version(ctx)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case failure.RefusesClient(err):
		version = held
	case err != nil:
		return failure.Late(err)
	case rv.Older(version, held):
		return failure.ErrNewHistory
	}
	c.Contact.Answered(time.Now(), version)
	c.Report()
	return nil
}
