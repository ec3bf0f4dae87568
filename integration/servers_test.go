// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/integration/cluster"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// storePatience is how long an API server may need until it has found its store again.
const storePatience = 90 * time.Second

// The store crashes and comes back with all that it had. The watches stay open, or are resumed, and
// a list is made only if the server has said that a version is gone.
func TestStoreRestarts(t *testing.T) {
	l := newLoss(t)
	var gone atomic.Int32
	w := newConsumer(t, "restart", server.Config(), l.namespace, watchsource.WithObserver(func(o watchsource.Observation) {
		if apierrors.IsResourceExpired(o.Err) || apierrors.IsGone(o.Err) {
			gone.Add(1)
		}
	}))
	result := l.watch(t, w)
	if err := server.RestartStore(t.Context(), 3*time.Second); err != nil {
		t.Fatal(err)
	}
	awaitWrites(t, l.client, l)
	l.happen(t)
	l.finish(t, w, result)
	if status := w.source.Status(); status.Relists > int(gone.Load()) {
		t.Errorf("%d relists although the server said %d times that a version was gone", status.Relists, gone.Load())
	}
}

// awaitWrites returns when the API server writes to its store again.
func awaitWrites(t *testing.T, client kubernetes.Interface, l *loss) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), storePatience)
	defer cancel()
	for {
		attempt, stop := context.WithTimeout(ctx, 5*time.Second)
		_, err := client.CoreV1().Pods(l.namespace).UpdateStatus(attempt, l.pods[9], metav1.UpdateOptions{})
		stop()
		switch {
		case err == nil, apierrors.IsConflict(err): // written by an attempt that was not answered in time
			return
		case ctx.Err() != nil:
			t.Fatalf("the API server does not write: %v", err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// Two API servers are behind one address, and one lags: nothing reaches it from the store for a
// while. A source that comes to it with a version that it does not have yet, or is connected to it all
// the time, is not misled: it waits, goes on when the server has caught up, and lists nothing again.
func TestServerThatLags(t *testing.T) {
	l := newLoss(t)
	storeProxy, second := startSecond(t)
	lagging := second.URL().String()
	moved, stays := newProxy(t), newProxyTo(t, lagging)
	var consumers []*consumer
	var results []<-chan readerCounts
	for name, p := range map[string]*proxy{"comes to it": moved, "is there": stays} {
		for _, construct := range []func(*testing.T, string, *rest.Config, string, ...watchsource.Option) *consumer{newConsumer, newSharedConsumer} {
			w := construct(t, name, p.through(server.Config()), l.namespace)
			consumers, results = append(consumers, w), append(results, l.watch(t, w))
		}
	}
	storeProxy.lose()
	l.happen(t)
	for _, w := range consumers {
		if w.name == "comes to it" {
			w.mustAgree(t, l.client, "on the other server")
		}
	}
	moved.lead(t, lagging)
	moved.drop()
	create(t, l.client, executorPod(l.namespace, appID, 200))
	begin := time.Now()
	for _, w := range consumers {
		awaitView(t, l.client, w)
	}
	t.Logf("all views were right %v later", time.Since(begin).Round(time.Millisecond))
	create(t, l.client, executorPod(l.namespace, appID, lastID))
	for i, w := range consumers {
		l.check(t, <-results[i])
		if status := w.source.Status(); status.Relists != 0 {
			t.Errorf("a source that %s: %d relists, want none; status %+v", w.name, status.Relists, status)
		}
	}
}

// One of two API servers behind one address loses its store, and goes on accepting watches on which
// nothing comes. A source that is connected to it says within four minutes that it may not see; when
// the address no longer leads there, its view is right at once.
func TestServerWithoutItsStore(t *testing.T) {
	if *long == 0 {
		t.Skip("only with -long")
	}
	l := newLoss(t)
	storeProxy, second := startSecond(t)
	balancer := newProxyTo(t, second.URL().String())
	w := newConsumer(t, "on the server without its store", balancer.through(server.Config()), l.namespace)
	result := l.watch(t, w)
	storeProxy.cut()
	l.happen(t)
	begin := time.Now()
	const noticed = 4 * time.Minute
	for w.source.Healthy(maxSilence) == nil && time.Since(begin) < 2*noticed {
		time.Sleep(time.Second)
	}
	took := time.Since(begin)
	t.Logf("after %v: %v; status %+v", took.Round(time.Second), w.source.Healthy(maxSilence), w.source.Status())
	if took > noticed {
		t.Errorf("Healthy was nil for %v, want at most %v", took, noticed)
	}
	balancer.lead(t, server.Config().Host)
	balancer.drop()
	begin = time.Now()
	awaitView(t, l.client, w)
	t.Logf("the view was right %v after the address led to the other server", time.Since(begin).Round(time.Millisecond))
	if err := w.source.Healthy(maxSilence); err != nil {
		t.Errorf("Healthy = %v on the other server, want nil", err)
	}
	l.finish(t, w, result)
}

// startSecond starts another API server, which reaches the store through a proxy.
func startSecond(t *testing.T) (*proxy, *cluster.SecondServer) {
	t.Helper()
	storeProxy := newProxyTo(t, server.StoreURL().String())
	address := *server.StoreURL()
	address.Host = storeProxy.address
	second, err := server.StartSecondServer(&address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := second.Stop(); err != nil {
			t.Log(err) // without its store it is killed
		}
	})
	return storeProxy, second
}

// awaitView waits until the consumer holds what the server lists.
func awaitView(t *testing.T, client kubernetes.Interface, w *consumer) {
	t.Helper()
	list, err := client.CoreV1().Pods(w.namespace).List(t.Context(), metav1.ListOptions{LabelSelector: executorSelector(w.app)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), storePatience)
	defer cancel()
	if _, err := w.store.WaitFor(ctx, holding(list.Items)); err != nil {
		t.Fatalf("%s: %v; status %+v", w.name, err, w.source.Status())
	}
}
