// SPDX-License-Identifier: Apache-2.0

package screen

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/executorpods/watchsource/watchtest"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// places returns where words stand in the lines of a screen, and the width of the bar.
func places(screen string, words ...string) string {
	var found []string
	for y, line := range strings.Split(screen, "\n") {
		for _, word := range words {
			if before, _, ok := strings.Cut(line, word); ok {
				found = append(found, fmt.Sprintf("%s %d:%d", word, y, ansi.StringWidth(before)))
			}
		}
		if y == 1 {
			found = append(found, fmt.Sprint("bar ", strings.Count(line, "█")+strings.Count(line, "▒")+strings.Count(line, "░")))
		}
	}
	return strings.Join(found, ", ")
}

// Nothing moves when numbers and ages change, executors fail, and the watch breaks off.
func TestSteady(t *testing.T) {
	for _, width := range []int{40, 80, 120, 200} {
		t.Run(fmt.Sprint(width), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := watchtest.NewServer()
				term := open(t, server, testApp, width, 24)
				c := cluster{server, testApp}
				c.create(1, 12)
				c.run(1, 12)
				term.settle()
				words := []string{"rv ", " of 12", "running", "pending", "terminating", "STATE", "AGE", "NODE", "POD", "REASON"}
				want := places(term.emulator.String(), words...)
				requireSteady := func(after string) {
					t.Helper()
					term.settle()
					if got := places(term.emulator.String(), words...); got != want {
						t.Errorf("after %s: %s\nbefore: %s\n%s", after, got, want, term.emulator.String())
					}
				}
				c.wait(12, "CrashLoopBackOff", "back-off")
				requireSteady("a reason")
				time.Sleep(11 * time.Minute)
				requireSteady("11 minutes")
				server.Inject(watchtest.Fault{Do: watchtest.Answer(apierrors.NewServiceUnavailable("leader changed"))})
				server.Strike(watchtest.Reset())
				time.Sleep(time.Minute)
				term.require("BLIND")
				requireSteady("an outage")
			})
		})
	}
}

// The place of the failed executors is free before the first has failed.
func TestSteadyWhenOneFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		term := open(t, server, testApp, 80, 24)
		c := cluster{server, testApp}
		c.create(1, 12)
		term.settle()
		c.run(1, 12)
		term.settle()
		words := []string{"rv ", " running ", "pending", "terminating"}
		want := places(term.emulator.String(), words...)
		for id := range 4 {
			c.end(id+1, 1, "Error")
		}
		c.delete(1, 2, 3, 4)
		term.settle()
		term.require(" 8 running   0 pending", "✗ 4 failed", " 8 of  8 running")
		if got := places(term.emulator.String(), words...); got != want {
			t.Errorf("got %s\nwant %s\n%s", got, want, term.emulator.String())
		}
	})
}
