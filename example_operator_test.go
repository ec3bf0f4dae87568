// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/watchtest"
)

// A liveness probe restarts a process whose watch does not recover.
func ExampleWatchSnapshotSource_Healthy() {
	source := watchsource.NewWatchSnapshotSource(watchsource.NewStore(), fake.NewClientset())
	healthz := func(w http.ResponseWriter, _ *http.Request) {
		if err := source.Healthy(3 * time.Minute); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, "ok")
	}
	probe := func() {
		w := httptest.NewRecorder()
		healthz(w, httptest.NewRequest(http.MethodGet, "/healthz", nil))
		fmt.Println(w.Code, w.Body)
	}

	probe()
	if err := source.Start("app-1"); err != nil {
		fmt.Println(err)
		return
	}
	defer source.Stop()
	probe()
	// Output:
	// 503 watchsource: not started
	//
	// 200 ok
}

func ExampleWatchSnapshotSource_Status() {
	source := watchsource.NewWatchSnapshotSource(watchsource.NewStore(), fake.NewClientset())
	fmt.Println(source.Status().Phase)
	if err := source.Start("app-1"); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(source.Status().Phase, source.Status().AppID)
	source.Stop()
	fmt.Println(source.Status().Phase)
	// Output:
	// Stopped
	// Watching app-1
	// Stopped
}

// An observer counts events for metrics. A Prometheus counter with the label "kind" has
// the same shape as this map.
func ExampleWithObserver() {
	var mu sync.Mutex
	counts := map[watchsource.ObservationKind]int{}
	server := watchtest.NewServer()
	server.Create(executorPod("1", corev1.PodRunning))
	source := watchsource.NewWatchSnapshotSource(watchsource.NewStore(), server.Client(),
		watchsource.WithObserver(func(o watchsource.Observation) {
			mu.Lock()
			defer mu.Unlock()
			counts[o.Kind]++
		}))
	if err := source.Start("app-1"); err != nil {
		fmt.Println(err)
		return
	}
	source.Stop()

	mu.Lock()
	defer mu.Unlock()
	fmt.Println("lists", counts[watchsource.Listed], "watches", counts[watchsource.Opened], "refusals", counts[watchsource.Refused])
	// Output: lists 1 watches 1 refusals 0
}

// Debug logging with slog: every message of the library, and of client-go's
// requests on its behalf, goes to the same logger.
func ExampleWithLogger() {
	handler := slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	})
	source := watchsource.NewWatchSnapshotSource(watchsource.NewStore(), fake.NewClientset(),
		watchsource.WithLogger(logr.FromSlogHandler(handler)))
	if err := source.Start("app-1"); err != nil {
		fmt.Println(err)
	}
	source.Stop()
	// Output:
	// level=DEBUG msg="Starting watch for pods with labels spark-app-selector=app-1, spark-role=executor."
}

// A source that opens another watch after a minute without an event or a bookmark.
func ExampleWithStallTimeout() {
	source := watchsource.NewWatchSnapshotSource(watchsource.NewStore(), watchtest.NewServer().Client(),
		watchsource.WithStallTimeout(time.Minute))
	if err := source.Start("app-1"); err != nil {
		fmt.Println(err)
		return
	}
	defer source.Stop()
	fmt.Println(source.Status().Phase, source.Status().Stalls, "stalls")
	// Output: Watching 0 stalls
}

// A source that looks every five minutes whether the watch has lost events. If it has, Err names
// the first pod that differed, and a list repairs the view.
func ExampleWithVerification() {
	server := watchtest.NewServer()
	source := watchsource.NewWatchSnapshotSource(watchsource.NewStore(), server.Client(),
		watchsource.WithVerification(5*time.Minute))
	if err := source.Start("app-1"); err != nil {
		fmt.Println(err)
		return
	}
	defer source.Stop()
	fmt.Println(source.Status().Phase, source.Status().Err)
	// Output: Watching <nil>
}

// The watch of many applications has one state, which a liveness probe can use. No application
// may be started.
func ExampleSharedWatch_Healthy() {
	shared := watchsource.NewSharedWatch(fake.NewClientset(executorPod("1", corev1.PodRunning)))
	probe := func() error {
		if shared.Status().Phase == watchsource.Stopped {
			return nil // no application is started
		}
		return shared.Healthy(3 * time.Minute)
	}
	fmt.Println(shared.Status().Phase, probe())

	source := shared.Source(watchsource.NewStore())
	if err := source.Start("app-1"); err != nil {
		fmt.Println(err)
		return
	}
	defer source.Stop()
	fmt.Println(shared.Status().Phase, probe())
	// Output:
	// Stopped <nil>
	// Watching <nil>
}
