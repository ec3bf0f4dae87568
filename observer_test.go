// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"errors"
	"io"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/watchtest"
)

// The observer and Status distinguish a watch that was cut from a watch that ended
// normally.
func TestObserverSeesHowTheWatchEnded(t *testing.T) {
	for _, test := range []struct {
		name  string
		fault watchtest.Effect
		is    func(error) bool
	}{
		{name: "in good order", fault: watchtest.Cut(), is: func(err error) bool { return err == nil }},
		{name: "in a frame", fault: watchtest.Tear(), is: func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }},
		{name: "by a reset", fault: watchtest.Reset(), is: func(err error) bool { return errors.Is(err, syscall.ECONNRESET) }},
	} {
		eachCaseInBubble(t, test.name, func(t *testing.T, newSource modeltest.NewSource) {
			env := newEnv(t, newSource)
			var closed []error
			env.start(watchsource.WithObserver(func(o watchsource.Observation) {
				if o.Kind == watchsource.Closed {
					closed = append(closed, o.Err)
				}
			}))
			env.server.Strike(test.fault)
			env.create("1")
			synctest.Wait()
			if len(closed) != 1 || !test.is(closed[0]) {
				t.Errorf("the observer received Closed with %v, want one that ended %s", closed, test.name)
			}
			status := env.source.Status()
			if status.Err != nil && !test.is(status.Err) || status.Errors > 1 || status.Relists > 0 {
				t.Errorf("status %+v, want the same error or none, at most 1 error and no relists", status)
			}
		})
	}
}

// The observer receives one Closed for each Opened, and can distinguish a relist from the
// first list.
func TestEachOpenedHasItsClosed(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		server := watchtest.NewServer()
		var seen []string
		source := newSource(watchsource.NewStore(), server.Client(), watchsource.WithObserver(func(o watchsource.Observation) {
			line := o.Kind.String()
			if o.Relist {
				line += " again"
			}
			if o.Err != nil {
				line += " with an error"
			}
			seen = append(seen, line)
		}))
		for range 2 {
			start(t, source, "app")
			server.Strike(watchtest.Answer(expired))
			time.Sleep(time.Minute - time.Second) // before a bookmark
			source.Stop()
		}
		session := []string{"Listed", "Opened", "Closed with an error", "Listed again", "Opened", "Closed"}
		if want := append(session, session...); !slices.Equal(seen, want) {
			t.Errorf("observed %q, want %q", seen, want)
		}
		if got := source.Status(); got.Errors != 1 {
			t.Errorf("%d errors, want 1, for the 410", got.Errors)
		}
	})
}
