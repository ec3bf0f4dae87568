// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/watchtest"
)

// Troubles while a call waits for a version of several namespaces.

// A waitResult is what a call of WaitForResourceVersion has returned, and after how long.
type waitResult struct {
	returned bool
	snapshot watchsource.Snapshot
	err      error
	took     time.Duration
}

// wait waits for a version in another goroutine.
func (e *namespacesEnv) wait(ctx context.Context, version string) *waitResult {
	r, began := new(waitResult), time.Now()
	go func() {
		r.snapshot, r.err = e.store.WaitForResourceVersion(ctx, version)
		r.returned, r.took = true, time.Since(began)
	}()
	synctest.Wait()
	return r
}

// injectAsking makes the short watches of a namespace fail.
func (e *namespacesEnv) injectAsking(namespace string, f watchtest.Fault) (lift func()) {
	f.If = func(r watchtest.Request) bool { return r.Namespace == namespace && isAsking(r) }
	return e.server.Inject(f)
}

// If a pod has changed before the bookmark, the bookmark says nothing: the store has the version once
// the running watch has brought the change. It is asked for again once a second.
func TestNamespacesWaitChangeBeforeTheBookmark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		env := newNamespacesEnv(t)
		env.start()
		var lifts []func()
		for _, stream := range env.server.Streams() {
			if stream.Request().Namespace == "b" {
				lifts = append(lifts, stream.Strike(watchtest.Silence()))
			}
		}
		env.create("b", "1") // not received yet
		created := env.create("a", "1").ResourceVersion
		result := env.wait(t.Context(), created)
		time.Sleep(20*time.Second + time.Millisecond)
		synctest.Wait()
		if result.returned || env.store.Snapshot().Contains(created) {
			t.Errorf("the snapshot lacks exec-b-1 and contains the version %s after it, want it not contained", created)
		}
		if got := strings.Count(env.asked(), "b"); got < 15 || got > 21 {
			t.Errorf("%d bookmarks asked for in 20 seconds, want one a second", got)
		}
		for _, lift := range lifts {
			lift()
		}
		time.Sleep(quickWait + time.Second)
		synctest.Wait()
		if !result.returned || result.err != nil || result.snapshot.Len() != 2 {
			t.Errorf("WaitForResourceVersion = %+v after the event came, want both executors", result)
		}
	})
}

// A missing right, an error and an answer that does not come harm nothing: the bookmark of the running
// watch ends the wait, and the watch stays open. The failed requests become rare.
func TestNamespacesWaitRefused(t *testing.T) {
	for name, effect := range map[string]watchtest.Effect{
		"no right": noRole("b"), "busy": watchtest.Answer(busy), "no answer": watchtest.Hang(), "cut": watchtest.Cut(),
		"broken": watchtest.Break(errors.New("cut")), "no bookmark": watchtest.OmitBookmarks(),
	} {
		inBubble(t, name, func(t *testing.T) {
			env := newNamespacesEnv(t)
			env.start()
			time.Sleep(time.Second)
			env.injectAsking("b", watchtest.Fault{Do: effect})
			result := env.wait(t.Context(), env.create("a", "1").ResourceVersion)
			time.Sleep(time.Minute)
			synctest.Wait()
			if !result.returned || result.err != nil || result.took > time.Minute {
				t.Errorf("WaitForResourceVersion = %+v, want a return with the bookmark of the watch", result)
			}
			if got := strings.Count(env.asked(), "b"); got < 2 || got > 8 {
				t.Errorf("%d bookmarks asked for in a minute, want between 2 and 8", got)
			}
			if got := env.source.Status(); got.Phase != watchsource.Watching || got.Err != nil {
				t.Errorf("status %+v, want it untouched", got)
			}
		})
	}
}

// No bookmark is asked for in a namespace whose watch is not open: its right is gone, or it is refused
// for another reason. When the watch is open again, the wait is quick again.
func TestNamespacesWaitWatchNotOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		env := newNamespacesEnv(t)
		env.start()
		lift := env.inject("b", watchtest.Fault{Do: noRole("b")})
		env.strike("b", watchtest.Reset())
		synctest.Wait() // until the watch has ended
		result := env.wait(t.Context(), env.create("a", "1").ResourceVersion)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		env.wantAsked("the watch of b is not open", "c")
		if result.returned {
			t.Errorf("WaitForResourceVersion = %+v while a namespace is away, want it to wait", result)
		}
		lift()
		for env.source.Status().Phase != watchsource.Watching {
			time.Sleep(time.Second)
		}
		time.Sleep(quickWait)
		synctest.Wait()
		if !result.returned || result.err != nil {
			t.Errorf("WaitForResourceVersion = %+v after the right came back, want a return", result)
		}
	})
}

// Stop waits for a request that is open, and ends it. A request of a client that takes its time is
// waited for too.
func TestNamespacesWaitStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		env := newNamespacesEnv(t)
		const late = 50 * time.Millisecond
		var begun, ended int
		config := env.server.Config()
		config.Wrap(func(next http.RoundTripper) http.RoundTripper {
			return roundTripper(func(r *http.Request) (*http.Response, error) {
				if r.URL.Query().Get("timeoutSeconds") != "3" || !strings.Contains(r.URL.Path, "/b/") {
					return next.RoundTrip(r)
				}
				begun++
				<-r.Context().Done()
				time.Sleep(late)
				ended++
				return nil, r.Context().Err()
			})
		})
		source := watchsource.NewWatchSnapshotSource(env.store, kubernetes.NewForConfigOrDie(config), watchsource.WithNamespaces("a", "b", "c"))
		start(t, source, "app")
		result := env.wait(t.Context(), env.create("a", "1").ResourceVersion)
		time.Sleep(500 * time.Millisecond)
		synctest.Wait()
		if begun != 1 || env.asking() != 1 {
			t.Fatalf("%d requests of b and %d of others are open, want 1 and 1", begun, env.asking())
		}
		began := time.Now()
		source.Stop()
		if took := time.Since(began); ended != 1 || env.asking() != 0 || took != late {
			t.Errorf("%d of %d requests have ended when Stop returns, %d streams are open, Stop took %v; want 1, none, %v",
				ended, begun, env.asking(), took, late)
		}
		synctest.Wait()
		if !result.returned || !errors.Is(result.err, watchsource.ErrStopped) {
			t.Errorf("WaitForResourceVersion = %+v, want ErrStopped", result)
		}
		asked := env.asked()
		result = env.wait(t.Context(), "999999")
		time.Sleep(time.Minute)
		synctest.Wait()
		if env.asked() != asked || !result.returned {
			t.Errorf("bookmarks asked for in %q after Stop, want none after %q", env.asked(), asked)
		}
	})
}

// The request ends with the call, and no other follows.
func TestNamespacesWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		env := newNamespacesEnv(t)
		env.start()
		created := env.create("a", "1").ResourceVersion
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		first, other := env.wait(ctx, created), env.wait(t.Context(), env.server.ResourceVersion())
		time.Sleep(600 * time.Millisecond)
		synctest.Wait()
		if !errors.Is(first.err, context.DeadlineExceeded) || env.asking() != 2 {
			t.Errorf("%d requests are open while another call waits, want 2", env.asking())
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if !other.returned || other.err != nil {
			t.Errorf("the other call: %+v, want a return", other)
		}

		env.server.Inject(watchtest.Fault{On: watchtest.Watch, Do: watchtest.OmitBookmarks()})
		ctx, cancel = context.WithCancel(t.Context())
		env.wait(ctx, env.create("a", "2").ResourceVersion)
		time.Sleep(500 * time.Millisecond)
		synctest.Wait()
		if env.asking() != 2 {
			t.Errorf("%d requests are open, want 2", env.asking())
		}
		cancel()
		synctest.Wait()
		if env.asking() != 0 {
			t.Errorf("%d requests are open after the call has ended, want none", env.asking())
		}
		asked := env.asked()
		time.Sleep(5 * time.Minute)
		env.wantAsked("no call waits", asked)
	})
}

// The server is restored from a backup while a call waits. No bookmark of the new history joins the old
// one: the version is unknown until all namespaces have been listed again, and then that of the server.
func TestNamespacesWaitNewHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		env := newNamespacesEnv(t)
		env.create("b", "1")
		env.start()
		restore := env.server.Backup()
		env.create("b", "2")
		env.server.Advance(1000)
		created := env.create("a", "1").ResourceVersion
		time.Sleep(2 * time.Minute)
		lift := env.server.Inject(watchtest.Fault{Do: watchtest.Refuse(), If: func(r watchtest.Request) bool { return r.Namespace != "a" }})
		ctx, cancel := context.WithCancel(t.Context())
		env.wait(ctx, "999999")
		restore()
		for env.source.Status().Relists == 0 {
			time.Sleep(time.Second)
		}
		env.server.Advance(5000)
		env.create("a", "3")
		for range 60 {
			if got := env.store.Snapshot().ResourceVersion(); got != "" {
				t.Fatalf("the store is at version %s before all namespaces were listed again, want none", got)
			}
			time.Sleep(time.Second)
		}
		lift()
		time.Sleep(3 * time.Minute)
		env.want("a-3 b-1")
		env.wantVersion("all have listed", env.server.ResourceVersion())
		cancel()
		if result := env.wait(t.Context(), created); !result.returned || result.err != nil {
			t.Errorf("a wait for an older version: %+v, want a return at once", result)
		}
	})
}

// A proxy that holds the headers of a watch back passes them on with the bookmark.
func TestNamespacesWaitHeldHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		env := newNamespacesEnv(t)
		env.start()
		env.server.Inject(watchtest.Fault{On: watchtest.Watch, Do: watchtest.HoldHeaders()})
		result := env.wait(t.Context(), env.create("a", "1").ResourceVersion)
		time.Sleep(quickWait)
		synctest.Wait()
		if !result.returned || result.err != nil {
			t.Errorf("WaitForResourceVersion = %+v, want a return after %v", result, quickWait)
		}
	})
}

// A fake clientset has no bookmarks, so none is asked for, whatever versions its pods have.
func TestNamespacesWaitOfAFake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := func(v string) func(*corev1.Pod) { return version(v) }
		client := fake.NewClientset(podIn("a", "1", at("5")), podIn("b", "1", at("3")))
		env := newNamespacesEnv(t)
		env.source = watchsource.NewWatchSnapshotSource(env.store, client, watchsource.WithNamespaces("a", "b"))
		start(t, env.source, "app")
		defer env.source.Stop()
		create(t, client, podIn("a", "2", at("9")))
		create(t, client, podIn("b", "2", at("7")))
		before := len(client.Actions())
		ctx, cancel := context.WithCancel(t.Context())
		result := env.wait(ctx, "9")
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := len(client.Actions()); got != before || result.returned {
			t.Errorf("%d requests while a call waits, which has returned: %v; want none, and a call that waits", got-before, result.returned)
		}
		cancel()
	})
}
