// SPDX-License-Identifier: Apache-2.0

package screen

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/exp/golden"
	"github.com/executorpods/watchsource/kubectl/application"
	"github.com/executorpods/watchsource/watchtest"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// The screen at four sizes. To update the files, run the test with -update.
func TestGolden(t *testing.T) {
	for _, size := range [][2]int{{80, 24}, {120, 40}, {40, 10}, {200, 50}} {
		t.Run(fmt.Sprintf("%dx%d", size[0], size[1]), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := watchtest.NewServer()
				term := open(t, server, testApp, size[0], size[1])
				busy(server)
				term.settle()
				golden.RequireEqual(t, term.emulator.String())
			})
		})
	}
}

// q and Ctrl-C end the program and all its goroutines, or the bubble would report them.
func TestQuit(t *testing.T) {
	for name, key := range map[string]string{"q": "q", "ctrl+c": "\x03"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				term := open(t, watchtest.NewServer(), testApp, 80, 24)
				term.require("no executor yet", "LIVE")
				if !term.emulator.Alternate() {
					t.Error("the screen is on the main screen of the terminal, want the alternate one")
				}
				term.emulator.Type(key)
				if err := <-term.done; err != nil {
					t.Errorf("Run = %v, want nil", err)
				}
				if term.emulator.Alternate() {
					t.Error("the terminal shows the alternate screen after the end, want the main one")
				}
			})
		})
	}
}

// The end of the context is no error.
func TestContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		term := open(t, watchtest.NewServer(), testApp, 80, 24)
		term.cancel()
		if err := <-term.done; err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
	})
}

// While the watch is broken, the screen says BLIND and why, and keeps its rows.
func TestBlind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		term := open(t, server, testApp, 80, 24)
		cluster{server, testApp}.create(1, 3)
		term.settle()
		term.require("LIVE", "spark-3f2a")

		lift := server.Inject(watchtest.Fault{Do: watchtest.Answer(apierrors.NewServiceUnavailable("leader changed"))})
		server.Strike(watchtest.Reset())
		time.Sleep(8 * time.Second)
		term.require("BLIND", "leader changed", "   2     Pending")
		term.requireNot("LIVE")

		lift()
		time.Sleep(time.Minute)
		term.settle()
		term.require("LIVE")
		term.requireNot("BLIND")
	})
}

// A watch that has died silently makes the screen blind, too, although no request fails.
func TestBlindWhenSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		term := open(t, server, testApp, 80, 24)
		server.Inject(watchtest.Fault{Do: watchtest.Silence()})
		server.Strike(watchtest.Silence())
		time.Sleep(application.MaxSilence + time.Minute)
		term.require("BLIND")
	})
}

// A source that another part of the program has stopped makes the screen blind.
func TestBlindWhenStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		term := open(t, watchtest.NewServer(), testApp, 80, 24)
		term.source.Stop()
		time.Sleep(2 * tickInterval)
		term.require("BLIND", "not started")
	})
}

func TestEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		term := open(t, server, testApp, 120, 40)
		c := cluster{server, testApp}
		c.create(1, 6)
		c.run(1, 6)
		time.Sleep(90 * time.Second)
		c.end(1, 0, "Completed")
		c.end(2, 1, "Error")
		c.terminate(3)
		c.end(3, 143, "Error")
		c.delete(1, 2, 3, 4)
		term.settle()
		term.require(
			"2 of 2 running", "✗ 1 failed", "Deleted 2  Completed 1  exit 1 1",
			"   1     Completed                     90s",
			"   2     exit 1                        90s",
			"   3     Deleted  exit 143 (SIGTERM)   90s",
			"   4     Deleted                       90s",
		)
		time.Sleep(10 * time.Minute)
		term.settle()
		term.require("   2     exit 1 ") // kept
	})
}

func TestFilter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		term := open(t, server, testApp, 80, 24)
		c := busy(server)
		term.press("/", "B", "a", "c", "k", "x")
		term.require("no executor passes the filter", "/Backx")
		term.press("\x7f")
		term.require("ImagePullBackOff")
		term.requireNot("Unschedulable")
		term.press(enter)
		term.require("filter: Back")

		// New executors pass the filter or do not.
		c.create(60, 61)
		c.wait(60, "CrashLoopBackOff", "")
		term.settle()
		term.require("60    Pending", "CrashLoopBackOff")
		term.requireNot("61    Pending")

		term.press(escape)
		term.require("Unschedulable", "61    Pending")
	})
}

func TestSort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		term := open(t, server, testApp, 80, 24)
		busy(server)
		for _, want := range []struct{ order, first string }{
			{"trouble", " ▸ 50    Pending"},
			{"id", " ▸ 1     Running"},
			{"age", " ▸ 50    Pending"},
			{"node", " ▸ 51    Pending"}, // it has no node
			{"trouble", " ▸ 50    Pending"},
		} {
			term.settle()
			term.require("sort: "+want.order, want.first)
			term.press("s")
		}
	})
}

// The cursor stays at the first row, or follows the executor to which the user has moved it.
func TestCursor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		term := open(t, server, testApp, 80, 24)
		c := cluster{server, testApp}
		c.create(1, 5)
		c.run(1, 5)
		term.settle()
		term.require(" ▸ 1     Running")
		c.wait(4, "CrashLoopBackOff", "")
		term.settle()
		term.require(" ▸ 4     Running")

		term.press("j", "j")
		term.require(" ▸ 2     Running")
		c.wait(5, "CrashLoopBackOff", "")
		term.settle()
		term.require(" ▸ 2     Running")

		term.press("G")
		term.require(" ▸ 3     Running")
		term.press("g")
		term.require(" ▸ 4     Running")

		// The ends have another cursor. New ends come above.
		c.end(1, 1, "Error")
		c.end(2, 1, "Error")
		term.settle()
		term.press(tab, "j")
		term.require(" ▸ 1     exit 1")
		c.end(3, 1, "Error")
		term.settle()
		term.require(" ▸ 1     exit 1")
		term.press(tab)
		term.require(" ▸ 4     Running")
	})
}

// A list that is longer than the screen scrolls with the cursor.
func TestScroll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		term := open(t, server, testApp, 80, 24)
		cluster{server, testApp}.create(1, 100)
		term.settle()
		term.require("1-19 of 100")
		term.press("\x1b[6~") // page down
		term.require("2-20 of 100", " ▸ 20 ")
		term.press("G")
		term.require("82-100 of 100", " ▸ 100 ")
		term.press("k")
		term.require("82-100 of 100", " ▸ 99 ")
	})
}

// The details follow the executor to its end, and stay when the pod is gone.
func TestDetails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		term := open(t, server, testApp, 80, 24)
		c := cluster{server, testApp}
		c.create(1, 3)
		c.wait(2, "ImagePullBackOff", "Back-off pulling image: "+strings.Repeat("long ", 30))
		term.settle()
		term.press(enter)
		term.require("jobs/spark-3f2a-exec-2", "ImagePullBackOff", "Pending", "Back-off pulling image: long long")
		c.run(2, 2)
		term.settle()
		term.require("Running", "started       2000-01-01 00:00")
		time.Sleep(time.Minute)
		c.end(2, 137, "OOMKilled")
		c.delete(2)
		term.settle()
		term.require("OOMKilled  exit 137, after 6", "the pod has been deleted")
		term.press(escape)
		term.require(" ▸ 3     Pending") // in the place where the executor was
	})
}

// All applications are listed, those in trouble first, and each can be entered.
func TestApplications(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		term := open(t, server, "", 80, 24)
		term.require("no application yet")
		for _, app := range []string{"app-a", "app-b", "app-c"} {
			cluster{server, app}.create(1, 3)
		}
		cluster{server, "app-a"}.run(1, 3)
		cluster{server, "app-b"}.wait(1, "ImagePullBackOff", "")
		c := cluster{server, "app-c"}
		c.run(1, 3)
		for id := range 3 {
			c.end(id+1, 1, "Error")
		}
		c.delete(1, 2, 3)
		time.Sleep(2 * tickInterval) // the last message is then a tick, at a known time
		term.settle()
		golden.RequireEqual(t, term.emulator.String())

		term.press("j", enter)
		term.require("app-a", "3 of 3 running", "   2     Running")
		term.press(escape)
		term.require("3 applications", " ▸ app-a")
		term.press("j", enter)
		term.require("all executors have ended", "exit 1 3")
		term.press("a")
		term.require("3 applications")
	})
}

// Text from the cluster cannot change the terminal.
func TestEscapeSequences(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		term := open(t, server, testApp, 120, 40)
		c := cluster{server, testApp}
		c.create(1, 2)
		evil := "\x1b]0;owned\x07\x1b[2J\u009b31m\u202egnp.\r\nsecond\tline"
		c.wait(1, evil, evil)
		server.Update(testSpace, c.name(2), func(pod *corev1.Pod) {
			pod.Status = corev1.PodStatus{Phase: corev1.PodFailed, Reason: evil, Message: evil}
		})
		for range 2 { // the list, and the details
			term.settle()
			term.require("^[]0;owned", "spark-3f2a")
			for _, r := range term.emulator.String() {
				if r != '\n' && !unicode.IsPrint(r) {
					t.Errorf("the screen has the rune %U, want printable ones only", r)
				}
			}
			term.press(enter)
		}
	})
}

// However many changes there are, the screen is drawn at most ten times a second.
func TestFrameRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		term := open(t, server, testApp, 120, 40)
		c := cluster{server, testApp}
		c.create(1, 100)
		term.settle()
		before := term.writes.n.Load()
		const seconds = 10
		for i := range seconds * 200 {
			id := i%100 + 1
			c.wait(id, fmt.Sprint("Reason", i), "")
			time.Sleep(time.Second / 200)
		}
		frames := term.writes.n.Load() - before
		if frames > seconds*10+1 || frames < seconds*5 {
			t.Errorf("drawn %d times in %d seconds, want at most 10 a second, and at least 5", frames, seconds)
		}
	})
}

// The screen follows the size of the terminal.
func TestResize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		term := open(t, server, testApp, 120, 40)
		busy(server)
		for _, size := range [][2]int{{40, 10}, {80, 24}, {20, 5}, {1, 1}, {200, 60}} {
			term.emulator.Resize(size[0], size[1])
			term.program.Send(tea.WindowSizeMsg{Width: size[0], Height: size[1]})
			term.settle()
		}
		term.require("OOMKilled 2", "spark-3f2a-exec-30", "registry.example.com")
	})
}
