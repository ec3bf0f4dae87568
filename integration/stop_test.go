// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/executorpods/watchsource"
	"go.uber.org/goleak"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
)

// atOnce is what a person takes for at once.
const atOnce = 900 * time.Millisecond

// Guarantee 10, while Start waits for a server that never answers.
func TestStopDuringStart(t *testing.T) {
	for _, test := range []struct {
		name   string
		config func(*testing.T) *rest.Config
	}{
		{name: "the connection is never accepted", config: func(t *testing.T) *rest.Config { return withHost("https://" + silentPort(t)) }},
		{name: "the request is never answered", config: silentServer},
	} {
		t.Run(test.name, func(t *testing.T) {
			config := test.config(t)
			before := goleak.IgnoreCurrent()
			t.Run("stop", func(t *testing.T) {
				source := watchsource.NewWatchSnapshotSource(watchsource.NewStore(), newClient(t, config))
				started := make(chan error, 1)
				go func() { started <- source.Start(appID) }()
				waitForStatus(t, source, "starting", func(s watchsource.Status) bool { return s.Phase == watchsource.Starting })
				stopAtOnce(t, source)
				if err := <-started; !errors.Is(err, watchsource.ErrStopped) {
					t.Errorf("Start returned %v", err)
				}
			})
			goleak.VerifyNone(t, before)
		})
	}
}

// Guarantee 10, while the server is away: the longer it is, the longer are the
// pauses that Stop must not wait for.
func TestStopWhileServerIsAway(t *testing.T) {
	client := admin(t)
	namespace := newNamespace(t, client)
	p := newProxy(t)
	before := goleak.IgnoreCurrent()
	t.Run("stop", func(t *testing.T) {
		w := newConsumer(t, "cut off", p.through(server.Config()), namespace)
		p.cut()
		const attempts = 3 // of which the last is followed by a pause of seconds
		waitForStatus(t, w.source, "retrying", func(s watchsource.Status) bool {
			return s.Phase == watchsource.Retrying && s.Errors >= attempts
		})
		stopAtOnce(t, w.source)
	})
	goleak.VerifyNone(t, before)
}

// Guarantee 10, many times over: one source watches one application after the
// other, and is stopped at any moment.
func TestStartAndStopManyTimes(t *testing.T) {
	client := admin(t)
	namespace := newNamespace(t, client)
	for id := range 20 {
		create(t, client, executorPod(namespace, appID, id))
	}
	create(t, client, executorPod(namespace, otherApp, 0))
	before := goleak.IgnoreCurrent()
	t.Run("stop", func(t *testing.T) {
		store := watchsource.NewStore()
		source := watchsource.NewWatchSnapshotSource(store, newClient(t, server.Config()), watchsource.WithNamespace(namespace))
		for i := range 50 {
			for app, want := range map[string]int{appID: 20, otherApp: 1} {
				if err := source.Start(app); err != nil {
					t.Fatal(err)
				}
				if got := store.Snapshot().Len(); got != want {
					t.Errorf("%d executors of %s, want %d", got, app, want)
				}
				source.Stop()
			}
			started := make(chan error, 1)
			go func() { started <- source.Start(appID) }()
			time.Sleep(time.Duration(i) * 100 * time.Microsecond) // no synchronisation: any moment will do
			source.Stop()
			if err := <-started; err == nil {
				source.Stop()
			} else if !errors.Is(err, watchsource.ErrStopped) {
				t.Fatal(err)
			}
		}
	})
	goleak.VerifyNone(t, before)
}

// Over HTTP/1.1, as through some proxies, a watch has a separate connection, and reads
// from it when Stop is called.
func TestStopOverHTTP1(t *testing.T) {
	client := admin(t)
	namespace := newNamespace(t, client)
	before := goleak.IgnoreCurrent()
	t.Run("stop", func(t *testing.T) {
		config := server.Config()
		config.NextProtos = []string{"http/1.1"}
		config = altered(config, func(next http.RoundTripper, request *http.Request) (*http.Response, error) {
			response, err := next.RoundTrip(request)
			if err == nil && response.Proto != "HTTP/1.1" {
				t.Errorf("the server spoke %s, want HTTP/1.1", response.Proto)
			}
			return response, err
		})
		w := newConsumer(t, "HTTP/1.1", config, namespace)
		create(t, client, executorPod(namespace, appID, 1))
		w.waitFor(t, "the executor", func(s watchsource.Snapshot) bool { return s.Len() == 1 })
		stopAtOnce(t, w.source)
	})
	goleak.VerifyNone(t, before)
}

func stopAtOnce(t *testing.T, source *watchsource.WatchSnapshotSource) {
	t.Helper()
	begin := time.Now()
	source.Stop()
	took := time.Since(begin)
	if took > atOnce {
		t.Errorf("Stop took %v, want at most %v", took, atOnce)
	}
	t.Logf("Stop took %v", took.Round(time.Microsecond))
}

// waitForStatus polls, because a status is not announced.
func waitForStatus(t *testing.T, source *watchsource.WatchSnapshotSource, what string, cond func(watchsource.Status) bool) watchsource.Status {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 5*time.Millisecond, patience, true, func(context.Context) (bool, error) {
		return cond(source.Status()), nil
	})
	if err != nil {
		t.Fatalf("wait until the source is %s: %v; status %+v", what, err, source.Status())
	}
	return source.Status()
}
