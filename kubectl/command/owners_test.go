// SPDX-License-Identifier: Apache-2.0

package command

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/watchtest"
	corev1 "k8s.io/api/core/v1"
)

// lines returns the lines of an output, with one blank between two words.
func lines(output string) []string {
	var all []string
	for line := range strings.Lines(output) {
		all = append(all, strings.Join(strings.Fields(line), " "))
	}
	return all
}

// The executors of applications of one id stay together by their namespaces.
func TestTableOfOneID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		for id := range 2 {
			server.Create(pod("other", "app-a", id+1, nil))
			server.Create(pod("jobs", "app-a", id+1, nil))
		}
		time.Sleep(time.Second)
		if got, want := lines(once(t, server, "-A", "--no-headers")), []string{
			"jobs app-a 1 Pending <none> 1s app-a-exec-1 <none>",
			"jobs app-a 2 Pending <none> 1s app-a-exec-2 <none>",
			"other app-a 1 Pending <none> 1s app-a-exec-1 <none>",
			"other app-a 2 Pending <none> 1s app-a-exec-2 <none>",
		}; !slices.Equal(got, want) {
			t.Errorf("-A: got %q, want %q", got, want)
		}
		// An argument names the applications of that id in all namespaces.
		if got, want := lines(once(t, server, "app-a", "-A", "--no-headers")), []string{
			"jobs 1 Pending <none> 2s app-a-exec-1 <none>",
			"jobs 2 Pending <none> 2s app-a-exec-2 <none>",
			"other 1 Pending <none> 2s app-a-exec-1 <none>",
			"other 2 Pending <none> 2s app-a-exec-2 <none>",
		}; !slices.Equal(got, want) {
			t.Errorf("app-a -A: got %q, want %q", got, want)
		}
	})
}

// A pod whose label moves to another application leaves the first and comes to the second.
func TestWatchRelabelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		server.Create(pod("jobs", "app-a", 1, nil))
		text := startCall(t, server, "-A", "-w")
		objects := startCall(t, server, "-A", "-w", "-o", "json")
		server.Update("jobs", "app-a-exec-1", func(pod *corev1.Pod) { pod.Labels[watchsource.LabelApp] = "app-b" })
		time.Sleep(time.Second)
		server.Delete("jobs", "app-a-exec-1")
		time.Sleep(time.Second)

		var changes []string
		for _, line := range lines(text.out.String()) {
			_, change, _ := strings.Cut(line, " ") // the time
			changes = append(changes, change)
		}
		if want := []string{
			"jobs app-a 1 Pending app-a-exec-1",
			"jobs app-a 1 Pending -> Relabelled app-a-exec-1",
			"jobs app-b 1 Pending app-a-exec-1",
			"jobs app-b 1 Pending -> Deleted app-a-exec-1",
		}; !slices.Equal(changes, want) {
			t.Errorf("-A -w: got %q, want %q", changes, want)
		}

		var states []string
		for decoder := json.NewDecoder(strings.NewReader(objects.out.String())); decoder.More(); {
			var c executorChange
			if err := decoder.Decode(&c); err != nil {
				t.Fatal(err)
			}
			states = append(states, fmt.Sprintf("%s %s %q", c.After.Application, c.After.State, c.Gone))
		}
		if want := []string{
			`app-a Pending ""`, `app-a Deleted "Unselected"`, `app-b Pending ""`, `app-b Deleted "Seen"`,
		}; !slices.Equal(states, want) {
			t.Errorf("-A -w -o json: got %q, want %q", states, want)
		}
	})
}
