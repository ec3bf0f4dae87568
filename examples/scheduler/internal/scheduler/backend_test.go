// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"io"
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

func newTestBackend(server *watchtest.Server) *schedulerBackend {
	c := config{appID: "spark-test", executors: 1, namespace: "default", work: demoWork}
	return clusterManager{config: c, client: server.Client(), report: newReport(io.Discard)}.createBackend()
}
