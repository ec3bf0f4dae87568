// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/executorpods/watchsource/watchtest"
)

// The view can be empty although a pod exists, if the watch has not shown the pod yet.
func TestDeletesAlsoWhatItHasNotSeenYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		b := newTestBackend(server)
		if err := b.start(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer b.source.Stop()

		lift := server.Inject(watchtest.Fault{On: watchtest.Watch | watchtest.StreamingList, Do: watchtest.Hang()})
		server.Strike(watchtest.Cut()) // the next watch starts late
		if _, err := b.allocator.create(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Second, lift)

		if err := b.cleanUp(t.Context()); err != nil {
			t.Error(err)
		}
		if left := server.List(""); len(left) > 0 {
			t.Errorf("%s is left, want no pod", left[0].Name)
		}
	})
}

// An end that waits for the next batch when the application is asked to stop is counted.
// The executor is not replaced.
func TestCountsTheEndsThatWaitWhenItStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFixture(t, 2)
		ctx, stop := context.WithCancel(t.Context())
		var reacting sync.WaitGroup
		reacting.Go(func() {
			if err := s.react(ctx); err != nil {
				t.Error(err)
			}
		})
		s.wait(2 * tickInterval)
		s.update(1, runs)
		s.server.Update("default", podName("spark-test", 2), runs) // shown at once
		s.wait(batchInterval / 2)
		s.server.Update("default", podName("spark-test", 1), fails(3))
		synctest.Wait()
		stop()
		reacting.Wait()
		s.wantEnds(t, failed, 1)
		s.wantRequests(t, watchtest.Create, 2)
		s.wantReport(t, "executor 1 failed on node-1: exit code 3 (Error)\n")
		for _, unwanted := range []string{"could not be", "could not create"} {
			if strings.Contains(s.out.String(), unwanted) {
				t.Errorf("the report has %q, want no request after the end of the context:\n%s", unwanted, s.out)
			}
		}
	})
}

func newTestBackend(server *watchtest.Server) *schedulerBackend {
	c := config{appID: "spark-test", executors: 1, namespace: "default", work: demoWork}
	return clusterManager{config: c, client: server.Client(), report: newReport(io.Discard)}.createBackend()
}
