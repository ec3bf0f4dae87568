// SPDX-License-Identifier: Apache-2.0

package command

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/executorpods/watchsource/watchtest"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// While the command follows a watch, stderr has one line when the watch is lost and one when it
// is back, and nothing else. The standard output has the changes only.
func TestOutage(t *testing.T) {
	for _, args := range []string{"app-a -w", "-A -w -o json", "app-a --until-ended", "app-a --until-ended -w"} {
		t.Run(args, func(t *testing.T) {
			log := captureLog(t)
			synctest.Test(t, func(t *testing.T) {
				server := watchtest.NewServer()
				server.Create(pod("jobs", "app-a", 1, running))
				c := startCall(t, server, strings.Fields(args)...)
				time.Sleep(time.Hour)
				before := c.out.String()
				if got := c.errOut.String(); got != "" {
					t.Errorf("before the outage: got %q on stderr, want nothing", got)
				}
				for range 2 {
					c.outage(t, server)
				}
				if c.out.String() != before {
					t.Errorf("got %q, want no change of the output", c.out.String())
				}
				c.cancel()
				<-c.done
			})
			if got := log.String(); got != "" {
				t.Errorf("got the log %q, want none", got)
			}
		})
	}
}

// captureLog returns what the default logger of the library writes until the end of the test.
func captureLog(t *testing.T) *buffer {
	t.Helper()
	log, before := new(buffer), slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(log, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
	return log
}

// outage makes the watch fail for ten minutes.
func (c *call) outage(t *testing.T, server *watchtest.Server) {
	t.Helper()
	earlier := len(c.errOut.String())
	printed := func() []string {
		synctest.Wait()
		return strings.Split(c.errOut.String()[earlier:], "\n")
	}
	lift := server.Inject(watchtest.Fault{Do: watchtest.Answer(apierrors.NewServiceUnavailable("leader changed"))})
	server.Strike(watchtest.Reset())
	time.Sleep(10 * time.Minute)
	if got := printed(); len(got) != 2 || !strings.Contains(got[0], "  The watch is lost: ") ||
		!strings.HasSuffix(got[0], ": leader changed; changes are shown when it is back.") || strings.Contains(got[0], "http") {
		t.Errorf("during the outage: got %q, want one line with the cause and no address", got)
	}
	lift()
	time.Sleep(time.Hour)
	if got := printed(); len(got) != 3 || !strings.Contains(got[1], "  The watch is back after 10m") {
		t.Errorf("after the outage: got %q, want one more line", got)
	}
}

// A watch that is closed and resumed, as every few minutes, is not lost.
func TestNoOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		c := startCall(t, server, "app-a", "-w")
		for range 100 {
			server.Strike(watchtest.Reset())
			time.Sleep(time.Minute)
		}
		if got := c.errOut.String(); got != "" {
			t.Errorf("got %q on stderr, want nothing", got)
		}
		c.cancel()
		<-c.done
	})
}

// The text of the server is escaped.
func TestOutageText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		c := startCall(t, server, "app-a", "-w")
		server.Inject(watchtest.Fault{Do: watchtest.Answer(apierrors.NewServiceUnavailable(evil))})
		server.Strike(watchtest.Reset())
		time.Sleep(time.Minute)
		if got := c.errOut.String(); !strings.Contains(got, "^[]0;owned") || strings.ContainsAny(got, "\x1b\u009b\u202e\x07") {
			t.Errorf("got %q, want the error without escape sequences", got)
		}
		c.cancel()
		<-c.done
	})
}

// A server that accepts requests and sends nothing is an outage too.
func TestOutageOfASilentServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		c := startCall(t, server, "app-a", "-w")
		lift := server.Inject(watchtest.Fault{Do: watchtest.Silence()})
		server.Strike(watchtest.Silence())
		time.Sleep(10 * time.Minute)
		if got := c.errOut.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "  The watch is lost: ") {
			t.Errorf("got %q, want one line", got)
		}
		lift()
		time.Sleep(time.Hour)
		if got := c.errOut.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, "  The watch is back after ") {
			t.Errorf("got %q, want one more line", got)
		}
		c.cancel()
		<-c.done
	})
}
