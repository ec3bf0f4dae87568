// SPDX-License-Identifier: Apache-2.0

package listwatch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/executorpods/watchsource/internal/podclient"
	"github.com/executorpods/watchsource/internal/podwire"
	"github.com/executorpods/watchsource/internal/rv"
	"github.com/executorpods/watchsource/watchtest"
)

var (
	denied   = watchtest.Answer(apierrors.NewForbidden(corev1.Resource("pods"), "", errors.New("no role")))
	internal = watchtest.Answer(apierrors.NewInternalError(errors.New("etcd")))
)

// stories are what happens to a loop, and the states that it enters. After the story the context
// of Run ends.
var stories = []struct {
	name   string
	before func(*watchtest.Server)
	then   func(*watchtest.Server)
	states string
}{
	{
		name:   "a watch that is stopped",
		states: "listing watching ended",
	},
	{
		name:   "a list that is stopped",
		before: func(s *watchtest.Server) { s.Inject(watchtest.Fault{Do: watchtest.Hang()}) },
		states: "listing ended",
	},
	{
		name:   "a missing right ends a Start",
		before: func(s *watchtest.Server) { s.Inject(watchtest.Fault{Do: denied}) },
		states: "listing ended",
	},
	{
		name:   "a list that is refused",
		before: func(s *watchtest.Server) { s.Inject(watchtest.Fault{Times: 1, Do: watchtest.Refuse()}) },
		then:   func(*watchtest.Server) { time.Sleep(time.Minute) },
		states: "listing waiting listing watching ended",
	},
	{
		name: "a wait that is stopped",
		then: func(s *watchtest.Server) {
			s.Inject(watchtest.Fault{Do: watchtest.Refuse()})
			s.Strike(watchtest.Reset())
			time.Sleep(100 * time.Millisecond)
		},
		states: "listing watching waiting resuming waiting ended",
	},
	{
		name:   "a connection that breaks",
		then:   func(s *watchtest.Server) { s.Strike(watchtest.Reset()) },
		states: "listing watching waiting resuming watching ended",
	},
	{
		name: "a version that is gone",
		then: func(s *watchtest.Server) {
			s.Inject(watchtest.Fault{On: watchtest.Watch, Times: 1, Do: watchtest.Answer(apierrors.NewResourceExpired("too old"))})
			s.Strike(watchtest.Reset())
			time.Sleep(time.Minute)
		},
		states: "listing watching waiting resuming waiting listing watching ended",
	},
	{
		name: "a version that is gone in a stream",
		then: func(s *watchtest.Server) {
			s.Strike(watchtest.SendError(apierrors.NewResourceExpired("too old")))
		},
		states: "listing watching waiting listing watching ended",
	},
	{
		name: "a resume that is stopped",
		then: func(s *watchtest.Server) {
			s.Inject(watchtest.Fault{Do: watchtest.Hang()})
			s.Strike(watchtest.Reset())
			time.Sleep(100 * time.Millisecond)
		},
		states: "listing watching waiting resuming ended",
	},
	{
		name: "an end in good order before it was asked for",
		then: func(s *watchtest.Server) {
			time.Sleep(10 * time.Second)
			s.Strike(watchtest.Cut())
		},
		states: "listing watching waiting checking resuming watching ended",
	},
	{
		name: "a check that is not answered",
		then: func(s *watchtest.Server) {
			s.Inject(watchtest.Fault{On: watchtest.List, Times: 1, Do: watchtest.Refuse()})
			time.Sleep(10 * time.Second)
			s.Strike(watchtest.Cut())
			time.Sleep(5 * time.Second)
		},
		states: "listing watching waiting checking waiting checking resuming watching ended",
	},
	{
		name: "a check is not forgotten when another answer comes to it",
		then: func(s *watchtest.Server) {
			s.Inject(watchtest.Fault{On: watchtest.List, Times: 1, Do: internal})
			time.Sleep(10 * time.Second)
			s.Strike(watchtest.Cut())
			time.Sleep(5 * time.Second)
		},
		states: "listing watching waiting checking waiting checking resuming watching ended",
	},
	{
		name: "a check that is stopped",
		then: func(s *watchtest.Server) {
			s.Inject(watchtest.Fault{On: watchtest.List, Do: watchtest.Hang()})
			time.Sleep(10 * time.Second)
			s.Strike(watchtest.Cut())
			time.Sleep(time.Second)
		},
		states: "listing watching waiting checking ended",
	},
	{
		name: "a server that was restored from a backup",
		then: func(s *watchtest.Server) {
			restore := s.Backup()
			s.Create(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "jobs", Name: "a"}})
			synctest.Wait()
			s.Inject(watchtest.Fault{On: watchtest.Watch, Times: 1, Do: watchtest.Refuse()})
			restore()
			time.Sleep(5 * time.Second)
		},
		states: "listing watching waiting resuming waiting checking listing watching ended",
	},
}

// Each transition of the loop is in the table of DESIGN.md, and each row of that table is taken.
func TestStates(t *testing.T) {
	table := transitions(t)
	taken := map[string]bool{}
	for _, story := range stories {
		t.Run(story.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := watchtest.NewServer()
				if story.before != nil {
					story.before(server)
				}
				states := enter(t, server, story.then)
				if got := strings.Join(states, " "); got != story.states {
					t.Errorf("states %s, want %s", got, story.states)
				}
				for i := range states[1:] {
					step := states[i] + " " + states[i+1]
					if taken[step] = true; !slices.Contains(table, step) {
						t.Errorf("the transition %q is not in DESIGN.md", step)
					}
				}
			})
		})
	}
	for _, step := range table {
		if !taken[step] {
			t.Errorf("DESIGN.md has the transition %q, which no story takes", step)
		}
	}
}

// transitions returns those of the table in DESIGN.md. The row "any" stands for each state.
func transitions(t *testing.T) (table []string) {
	t.Helper()
	text, err := os.ReadFile("../../DESIGN.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "## The states of the loop")
	section, _, _ = strings.Cut(section, "\n## ")
	var rows [][]string
	for _, row := range regexp.MustCompile(`(?m)^\| (\w+) \| (\w+) \|`).FindAllStringSubmatch(section, -1)[1:] {
		rows = append(rows, row[1:])
	}
	for _, row := range rows {
		if row[0] != "any" {
			table = append(table, row[0]+" "+row[1])
			continue
		}
		for _, other := range rows {
			if step := other[0] + " " + row[1]; other[0] != "any" && !slices.Contains(table, step) {
				table = append(table, step)
			}
		}
	}
	return table
}

// enter runs a loop, and returns the names of the states that it has entered when its context
// has ended.
func enter(t *testing.T, server *watchtest.Server, then func(*watchtest.Server)) (names []string) {
	ctx, cancel := context.WithCancel(t.Context())
	loop := New(Config{
		Client: server.Client(), Namespace: "jobs", StartTimeout: 30 * time.Second,
		Sink: new(versions), Report: func(Event) {}, Begin: func() bool { return true },
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for s := range loop.states(ctx) {
			names = append(names, strings.TrimPrefix(strings.TrimPrefix(fmt.Sprintf("%T", s), "*"), "listwatch."))
		}
	}()
	synctest.Wait()
	if then != nil {
		then(server)
	}
	synctest.Wait()
	cancel()
	<-done
	return names
}

// versions is a sink that keeps only the version to resume from.
type versions struct{ held string }

func (v *versions) Replace(_ []*podwire.Pod, resourceVersion string) { v.held = resourceVersion }

func (v *versions) Receive(event watch.Event) error {
	pod, err := podclient.PodOf(event)
	if err == nil {
		v.held = rv.Newer(v.held, pod.ResourceVersion)
	}
	return err
}

func (v *versions) ResourceVersion() string { return v.held }
func (v *versions) Forget()                 { v.held = "" }
