// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
	k8stesting "k8s.io/client-go/testing"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/watchtest"
)

// Verifications with stores and clients that are not the usual ones.

// A store of the user receives the repair as a list.
func TestVerificationWithAUsersStore(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		server := watchtest.NewServer()
		podsBeforeLosses(server)
		store := new(recordingStore)
		startSource(t, newSource, server, store, watchsource.WithVerification(verifyEvery))
		time.Sleep(time.Hour)
		lose(server, 1, deleteFirst)
		time.Sleep(noticed)
		synctest.Wait()
		if got := strings.Join(store.all(), ", "); got != "replace exec-1 exec-2 exec-3, update exec-3, replace exec-2 exec-3" {
			t.Errorf("the store received %q, want the list again without exec-1", got)
		}
	})
}

// A store that blocks delays a verification, and a verification does not overlap with it.
func TestVerificationWithASlowStore(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		server := watchtest.NewServer()
		podsBeforeLosses(server)
		server.Inject(watchtest.Fault{If: isVerification, Do: watchtest.Refuse()})
		var calls sync.Mutex // fails the test by a deadlock report if it is held while time passes
		observer := func(watchsource.Observation) {
			if !calls.TryLock() {
				t.Error("two calls of the observer overlap")
				return
			}
			time.Sleep(time.Second)
			calls.Unlock()
		}
		source := startSource(t, newSource, server, slowStore{}, watchsource.WithVerification(5*time.Second), watchsource.WithObserver(observer))
		for range 200 {
			server.Update("jobs", "exec-3", touch)
			time.Sleep(3300 * time.Millisecond)
		}
		if status := source.Status(); status.Lists != 1 || status.Errors == 0 || status.Stalls != 0 {
			t.Errorf("%+v, want one list, errors and no stall", status)
		}
	})
}

// slowStore is a store whose calls take a second.
type slowStore struct{}

func (slowStore) UpdatePod(*corev1.Pod) { time.Sleep(time.Second) }

func (slowStore) DeletePod(*corev1.Pod) { time.Sleep(time.Second) }

func (slowStore) ReplaceSnapshot([]*corev1.Pod) { time.Sleep(time.Second) }

// Every client can verify: JSON, with a warning handler, wrapped, and behind a proxy that asks
// for whole pods in JSON.
func TestVerificationWithUnusualClients(t *testing.T) {
	for name, client := range map[string]func(*testing.T, *watchtest.Server) kubernetes.Interface{
		"protobuf":             func(_ *testing.T, server *watchtest.Server) kubernetes.Interface { return server.Client() },
		"JSON":                 func(_ *testing.T, server *watchtest.Server) kubernetes.Interface { return server.JSONClient() },
		"JSON through a proxy": jsonClient,
		"wrapped": func(_ *testing.T, server *watchtest.Server) kubernetes.Interface {
			return wrappedClient{server.Client()}
		},
		"warning handler": func(t *testing.T, server *watchtest.Server) kubernetes.Interface {
			config := server.Config()
			config.WarningHandler = rest.NoWarnings{}
			return clientFor(t, config)
		},
		"protobuf through a proxy that removes the kind": func(t *testing.T, server *watchtest.Server) kubernetes.Interface {
			config := server.Config()
			config.Wrap(func(next http.RoundTripper) http.RoundTripper {
				return roundTripper(func(r *http.Request) (*http.Response, error) {
					r = r.Clone(r.Context())
					r.Header.Set("Accept", "application/vnd.kubernetes.protobuf")
					return next.RoundTrip(r)
				})
			})
			return clientFor(t, config)
		},
	} {
		eachCaseInBubble(t, name, func(t *testing.T, newSource modeltest.NewSource) {
			server := watchtest.NewServer()
			podsBeforeLosses(server)
			store := watchsource.NewStore()
			source := newSource(store, client(t, server), watchsource.WithVerification(verifyEvery))
			start(t, source, "app")
			defer source.Stop()
			time.Sleep(time.Hour)
			if status := source.Status(); status.Lists != 1 || status.Errors != 0 {
				t.Errorf("%d lists and %d errors (%v) although nothing was lost, want 1 and none", status.Lists, status.Errors, status.Err)
			}
			lose(server, 1, deleteFirst)
			time.Sleep(noticed)
			synctest.Wait()
			if got := names(store.Snapshot()); got != "exec-2=Running exec-3=Running" {
				t.Errorf("the store has %s, want exec-2 and exec-3", got)
			}
		})
	}
}

// With the fake clientset a verification compares with a list of pods.
func TestVerificationWithTheFakeClientset(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		client := fake.NewClientset(pod("1", uid("1")), pod("2", uid("2")))
		var events *watch.FakeWatcher // of the last watch
		client.PrependWatchReactor("pods", func(k8stesting.Action) (bool, watch.Interface, error) {
			events = watch.NewFake()
			return true, events, nil
		})
		store := watchsource.NewStore()
		source := newSource(store, client, watchsource.WithVerification(10*time.Second))
		start(t, source, "app")
		defer source.Stop()
		events.Add(driver("app")) // as the watch of a fake does
		time.Sleep(time.Minute)
		if status := source.Status(); status.Lists != 1 || status.Errors != 0 {
			t.Errorf("%d lists and %d errors (%v) although nothing was lost, want 1 and none", status.Lists, status.Errors, status.Err)
		}
		remove(t, client, pod("1")) // without an event
		time.Sleep(10*time.Second + 140*time.Second)
		wantPods(t, store, "exec-2")
		if err := source.Status().Err; err == nil || !strings.Contains(err.Error(), "the watch has lost an event: pod jobs/exec-1 is gone") {
			t.Errorf("Status.Err = %v, want the lost deletion", err)
		}
	})
}

// A shared watch verifies all applications together, also those without a source.
func TestVerificationOfASharedWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		log := new(logLines)
		shared := watchsource.NewSharedWatch(server.Client(), watchsource.WithVerification(verifyEvery), watchsource.WithLogger(log.logger(0)))
		var stores []*watchsource.Store
		for _, app := range []string{"a", "b", "c", "none"} {
			server.Create(podOf(app, "1"))
			server.Create(podOf(app, "2"))
			if app != "none" {
				store, _ := startShared(t, shared, app)
				stores = append(stores, store)
			}
		}
		time.Sleep(time.Hour + 5*time.Second)
		if n := len(verifications(server)); n != 11 && n != 12 {
			t.Errorf("%d verifications in an hour, want one each five minutes for all applications", n)
		}
		wantLines(t, log, 0, "msg")
		server.Strike(watchtest.Lose(2))
		server.Delete("jobs", "b-1")
		server.Update("jobs", "none-2", phase(corev1.PodFailed))
		server.Update("jobs", "a-1", touch)
		time.Sleep(noticed)
		for i, want := range [][]string{{"a-1", "a-2"}, {"b-2"}, {"c-1", "c-2"}} {
			wantPods(t, stores[i], want...)
		}
		wantLines(t, log, 1, lostLine, "events of 2 pods, the first: pod jobs/b-1 is gone")
		if status := shared.Status(); status.Relists != 1 || status.Err == nil {
			t.Errorf("%+v, want one relist and the error", status)
		}
	})
}
