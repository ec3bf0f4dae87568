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

	"github.com/executorpods/watchsource/watchtest"
)

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		server.Create(pod("jobs", "app-a", 1, nil))
		lines := startCall(t, server, "app-a", "-w")
		objects := startCall(t, server, "app-a", "-w", "-o", "json")
		server.Update("jobs", "app-a-exec-1", running)
		time.Sleep(time.Second)
		server.Update("jobs", "app-a-exec-1", ended(52, "Error"))
		server.Delete("jobs", "app-a-exec-1")
		time.Sleep(time.Second)

		var changes []string
		for line := range strings.Lines(lines.out.String()) {
			_, change, _ := strings.Cut(strings.TrimSpace(line), "  ") // the time
			changes = append(changes, strings.Join(strings.Fields(change), " "))
		}
		if want := []string{
			"1 Pending app-a-exec-1",
			"1 Pending -> Running app-a-exec-1",
			"1 Running -> Failed app-a-exec-1 exit 52 Error",
			"1 Failed -> Deleted app-a-exec-1 exit 52 Error",
		}; !slices.Equal(changes, want) {
			t.Errorf("-w: got %q, want %q", changes, want)
		}

		var states []string
		for decoder := json.NewDecoder(strings.NewReader(objects.out.String())); decoder.More(); {
			var c executorChange
			if err := decoder.Decode(&c); err != nil {
				t.Fatal(err)
			}
			before := "null"
			if c.Before != nil {
				before = c.Before.State
			}
			states = append(states, fmt.Sprint(before, " ", c.After.State, " ", c.Ended))
		}
		if want := []string{
			"null Pending false", "Pending Running false", "Running Failed true", "Failed Deleted false",
		}; !slices.Equal(states, want) {
			t.Errorf("-w -o json: got %q, want %q", states, want)
		}

		if got := strings.Count(objects.out.String(), "\n"); got != len(states) {
			t.Errorf("-w -o json: got %d lines for %d objects, want one for each", got, len(states))
		}

		lines.cancel()
		if err := <-lines.done; err != nil {
			t.Errorf("after the end of the context: err = %v, want nil", err)
		}
	})
}

// A command that is interrupted first prints the changes that wait for the next batch.
func TestWatchInterrupted(t *testing.T) {
	for _, args := range [][]string{{"app-a", "-w"}, {"app-a", "-w", "--until-ended"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := watchtest.NewServer()
				server.Create(pod("jobs", "app-a", 1, nil))
				c := startCall(t, server, args...)
				server.Update("jobs", "app-a-exec-1", running)
				time.Sleep(batchInterval / 2)
				server.Update("jobs", "app-a-exec-1", ended(52, "Error"))
				synctest.Wait()
				c.cancel()
				<-c.done
				if got := c.out.String(); !strings.Contains(got, "Running -> Failed") {
					t.Errorf("got\n%s\nwant the end of the executor", got)
				}
			})
		})
	}
}
