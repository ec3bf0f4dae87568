// SPDX-License-Identifier: Apache-2.0

package screen

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/exp/golden"
	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/watchtest"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

const longApp = "my-long-application-name-8f3a5c1e"

// scenes bring a screen to a state.
var scenes = []struct {
	name string
	app  string
	play func(term *terminal, server *watchtest.Server)
}{
	{"blind", testApp, func(_ *terminal, server *watchtest.Server) {
		busy(server)
		forbid(server)
	}},
	{"watch", testApp, func(term *terminal, server *watchtest.Server) {
		busy(server)
		forbid(server)
		term.press("e")
	}},
	{"recovered", testApp, func(term *terminal, server *watchtest.Server) {
		busy(server)
		lift := forbid(server)
		lift()
		time.Sleep(2 * time.Minute)
		term.press("e")
	}},
	{"names", longApp, func(_ *terminal, server *watchtest.Server) {
		longNames(server, "ip-10-0-%d-%d.eu-central-1.compute.internal")
	}},
	{"wide", longApp, func(_ *terminal, server *watchtest.Server) { longNames(server, "机房-北京-%d-🚀节点-%d") }},
	{"details", testApp, func(term *terminal, server *watchtest.Server) {
		c := busy(server)
		c.wait(50, "ImagePullBackOff", "Back-off pulling image: "+strings.Repeat("a long text. ", 12)+"שלום 世界 🚀")
		term.settle()
		term.press(enter, "j", "j")
	}},
	{"help", testApp, func(term *terminal, _ *watchtest.Server) { term.press("?") }},
}

// forbid makes the API server refuse the watch.
func forbid(server *watchtest.Server) (lift func()) {
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "", errors.New(
		`User "system:serviceaccount:jobs:viewer" cannot watch resource "pods" in API group "" in the namespace "jobs"`))
	lift = server.Inject(watchtest.Fault{Do: watchtest.Answer(forbidden)})
	server.Strike(watchtest.Reset())
	time.Sleep(20 * time.Second)
	return lift
}

// longNames creates executors with long names, on nodes with names of a format.
func longNames(server *watchtest.Server, node string) {
	c := cluster{server, longApp}
	for i := range 12 {
		pod := executorPod(longApp, 123_450+i)
		pod.Spec.NodeName = fmt.Sprintf(node, 12+i%2, 34+i%5)
		server.Create(pod)
	}
	pod := executorPod(longApp, 7)
	pod.Labels[watchsource.LabelExecutorID] = "6f9619ff-8b86-d011-b42d-00cf4fc964ff"
	pod.Spec.NodeName = fmt.Sprintf(node, 1, 2)
	server.Create(pod)
	time.Sleep(time.Second) // for a frame
	c.run(123_450, 123_457)
	c.wait(123_458, "ImagePullBackOff", "镜像拉取失败 🚀 registry.example.com/spark:4.2 "+strings.Repeat("很长", 40))
	time.Sleep(time.Minute)
	c.end(123_450, 52, "Error")
	c.delete(123_450)
	time.Sleep(2 * time.Second)
}

// drawn returns the screen. The times of the last error and of the recovery depend on the random pauses
// between two requests, and get others.
func drawn(term *terminal, scene string) string {
	if scene != "watch" && scene != "recovered" {
		return term.emulator.String()
	}
	m := term.stop()
	m.status.Since, m.status.ErrAt, m.status.Errors = m.now.Add(-10*time.Second), m.now.Add(-12*time.Second), 8
	lines := m.frame()
	for i, line := range lines {
		lines[i] = strings.TrimRight(ansi.Strip(line), " ")
	}
	return strings.Join(lines, "\n") + "\n"
}

// The pages at four sizes. To update the files, run the test with -update.
func TestPages(t *testing.T) {
	for _, scene := range scenes {
		for _, size := range [][2]int{{40, 10}, {80, 24}, {120, 40}, {200, 50}} {
			t.Run(fmt.Sprintf("%s/%dx%d", scene.name, size[0], size[1]), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					server := watchtest.NewServer()
					term := open(t, server, scene.app, size[0], size[1])
					scene.play(term, server)
					term.settle()
					golden.RequireEqual(t, drawn(term, scene.name))
				})
			})
		}
	}
}

// No page is wider or higher than the screen, however small that is.
func TestPagesFit(t *testing.T) {
	for _, scene := range scenes {
		t.Run(scene.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := watchtest.NewServer()
				term := open(t, server, scene.app, 80, 24)
				scene.play(term, server)
				m := term.stop()
				for _, width := range []int{0, 1, 2, 5, 10, 20, 39, 40, 59, 60, 80, 99, 100, 130} {
					for _, height := range []int{0, 1, 2, 3, 4, 5, 7, 8, 10, 13, 14, 30} {
						m.Update(tea.WindowSizeMsg{Width: width, Height: height})
						requireFit(t, m.frame(), width, height)
					}
				}
			})
		})
	}
}

func requireFit(t *testing.T, lines []string, width, height int) {
	t.Helper()
	if len(lines) > max(height, 1) {
		t.Errorf("%dx%d: %d lines", width, height, len(lines))
	}
	for _, line := range lines {
		if ansi.StringWidth(line) > width {
			t.Errorf("%dx%d: the line %q is %d wide", width, height, line, ansi.StringWidth(line))
		}
	}
}

// A small screen shows the most important line of a page first.
func TestSmallScreens(t *testing.T) {
	for _, row := range []struct {
		scene         string
		width, height int
		want          []string
	}{
		{"blind", 20, 5, []string{"BLIND", "pods is forbidden:…", "▸ 50"}},
		{"watch", 20, 5, []string{"BLIND", "cause: pods is"}},
		{"recovered", 20, 5, []string{"LIVE", "phase: Watching"}},
		{"names", 20, 5, []string{"LIVE", "▸ 123458"}},
		{"details", 20, 5, []string{"LIVE", "executor: 50"}},
		{"help", 20, 5, []string{"LIVE", "/: filter"}},
		{"blind", 20, 1, []string{"BLIND"}},
		{"names", 10, 1, []string{"LIVE"}},
		{"names", 1, 1, []string{"…"}},
	} {
		t.Run(fmt.Sprintf("%s/%dx%d", row.scene, row.width, row.height), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := watchtest.NewServer()
				for _, scene := range scenes {
					if scene.name != row.scene {
						continue
					}
					term := open(t, server, scene.app, 80, 24)
					scene.play(term, server)
					term.press("g")
					term.emulator.Resize(row.width, row.height)
					term.program.Send(tea.WindowSizeMsg{Width: row.width, Height: row.height})
					term.settle()
					term.require(row.want...)
				}
			})
		})
	}
}

// A page of text scrolls, and says which part of it is on the screen.
func TestTextScrolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		term := open(t, server, testApp, 40, 10)
		c := cluster{server, testApp}
		c.create(1, 1)
		c.wait(1, "ImagePullBackOff", strings.Repeat("a long text. ", 30)+"the end")
		term.settle()
		term.press(enter)
		term.require("executor    ", "1-8 of ")
		term.requireNot("version")
		term.press("j")
		term.require("2-9 of ")
		term.requireNot("executor   ")
		term.press("\x1b[6~") // page down
		term.require("10-17 of ")
		term.press("G")
		term.require("uid", "version")
		term.press("k", "g")
		term.require("1-8 of ")

		term.press("?")
		term.require("scroll by a page", "1-8 of ")
		term.press("G", "e", "G")
		term.require("events")
		term.press(escape, escape)
		term.require("executor    ", "1-8 of ")

		term.emulator.Resize(80, 40)
		term.program.Send(tea.WindowSizeMsg{Width: 80, Height: 40})
		term.settle()
		term.require("executor", "uid", "the end")
		term.requireNot(" of 2")
	})
}

// While the view may be out of date, the screen says why in lines of its width, and e shows all. Later
// the page has the last error and that it is over.
func TestWatchPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		term := open(t, server, testApp, 80, 24)
		term.requireNot("e error")
		lift := server.Inject(watchtest.Fault{Do: watchtest.Refuse()})
		server.Strike(watchtest.Reset())
		time.Sleep(8 * time.Second)
		term.require("BLIND", "\n connection refused; nothing listens there: check the address of the API server\n", "e error   q quit")
		term.press("e")
		term.require("cause         connection refused", "what to do    nothing listens there", "phase         Retrying since ",
			"last contact", "last error    watchsource: ", "decoder       protobuf", "errors")
		term.requireNot("e error")
		term.requireNot("recovered")

		lift()
		time.Sleep(time.Minute)
		term.settle()
		term.require("LIVE", "phase         Watching since ", "last error    watchsource: ", " ago; recovered")
		term.requireNot("cause ")
		term.press("e")
		term.require("no executor yet")
		term.press("?", "e", "?", "?", "e", "?", escape, escape)
		term.require("no executor yet")
	})
}

// A watch without an error says so.
func TestWatchPageWithoutError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		term := open(t, watchtest.NewServer(), "", 80, 24)
		term.press("e")
		term.require("phase         Watching since ", "last error    none", "lists         1, 0 after the first")
		term.press(escape)
		term.require("no application yet")
	})
}

// A silent watch is no error: the screen says for how long nothing was heard, not what once failed.
func TestSilenceIsTheCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := open(t, watchtest.NewServer(), testApp, 80, 24).stop()
		m.status.Phase, m.status.Err = watchsource.Watching, errors.New("watchsource: an old error")
		m.status.LastContact = m.now.Add(-4 * time.Minute)
		m.blind = errors.New("watchsource: nothing heard from the API server for 4m0.000001s: an old error")
		if got, want := m.trouble().String(), "nothing heard from the API server for 4m; check the network"; !strings.HasPrefix(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
