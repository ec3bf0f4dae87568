// SPDX-License-Identifier: Apache-2.0

package command

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/executorpods/watchsource/watchtest"
	corev1 "k8s.io/api/core/v1"
)

// inTeam gives a pod the label team.
func inTeam(name string) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		running(pod)
		pod.Labels["team"] = name
	}
}

// -l selects among the executors, of one application and of all, in each form.
func TestSelector(t *testing.T) {
	for _, row := range []struct{ args, want string }{
		{"app-a", "pod/app-a-exec-1 pod/app-a-exec-2 pod/app-a-exec-3"},
		{"app-a -l team=x", "pod/app-a-exec-1"},
		{"app-a -l team", "pod/app-a-exec-1 pod/app-a-exec-2"},
		{"app-a -l !team", "pod/app-a-exec-3"},
		{"app-a -l team!=x", "pod/app-a-exec-2 pod/app-a-exec-3"},
		{"app-a -l team,spark-exec-id>1", "pod/app-a-exec-2"},
		{"-l team=x", "pod/app-a-exec-1 pod/app-b-exec-1"},
		{"-A --selector=team=x", "pod/app-a-exec-1 pod/app-b-exec-1 pod/app-a-exec-9"},
		{"app-a -l team=x -w", "pod/app-a-exec-1"},
		{"app-a -l spark-app-selector=app-b", ""}, // both must hold
		{"-l spark-app-selector=app-b", "pod/app-b-exec-1"},
		{"app-a -l spark-role=driver", ""},
	} {
		t.Run(row.args, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := watchtest.NewServer()
				server.Create(pod("jobs", "app-a", 1, inTeam("x")))
				server.Create(pod("jobs", "app-a", 2, inTeam("y")))
				server.Create(pod("jobs", "app-a", 3, running))
				server.Create(pod("jobs", "app-b", 1, inTeam("x")))
				server.Create(pod("other", "app-a", 9, inTeam("x")))
				c := startCall(t, server, append(strings.Fields(row.args), "-o=name")...)
				if got := strings.Join(strings.Fields(c.out.String()), " "); got != row.want {
					t.Errorf("got %q, want %q", got, row.want)
				}
			})
		})
	}
}

// The server selects, so that nothing else is sent.
func TestSelectorOfRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		once(t, server, "app-a", "-l", "team in (x,y)")
		for _, request := range server.Requests() {
			if got, want := request.Options.LabelSelector, "spark-app-selector=app-a,spark-role=executor,team in (x,y)"; got != want {
				t.Errorf("got the selector %q, want %q", got, want)
			}
		}
	})
}

// Only the executors that match must end. When an executor stops to match, the server sends a
// deletion.
func TestSelectorUntilEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		server.Create(pod("jobs", "app-a", 1, inTeam("x")))
		server.Create(pod("jobs", "app-a", 2, inTeam("x")))
		server.Create(pod("jobs", "app-a", 3, inTeam("y")))
		c := startCall(t, server, "app-a", "-l", "team=x", "--until-ended", "--exit-status", "-w", "--settle=1s")
		server.Update("jobs", "app-a-exec-1", ended(0, "Completed"))
		server.Update("jobs", "app-a-exec-2", func(pod *corev1.Pod) { pod.Labels["team"] = "y" })
		time.Sleep(time.Minute)
		if err := <-c.done; err != nil {
			t.Errorf("err = %v, want nil", err)
		}
		if got, want := c.errOut.String(), "All executors of app-a with the labels team=x have ended: Completed 1  Deleted 1.\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		var changes []string
		for _, line := range lines(c.out.String()) {
			_, change, _ := strings.Cut(line, " ") // the time
			changes = append(changes, change)
		}
		if want := []string{
			"1 Running app-a-exec-1", "2 Running app-a-exec-2",
			"1 Running -> Succeeded app-a-exec-1 exit 0 Completed", "2 Running -> Deleted app-a-exec-2",
		}; !slices.Equal(changes, want) {
			t.Errorf("got %q, want %q", changes, want)
		}
	})
}
