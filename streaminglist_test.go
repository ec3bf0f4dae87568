// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	k8stesting "k8s.io/client-go/testing"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/watchtest"
)

// Streaming lists that are refused, broken or endless, and lists without a version.

func TestStreamingListFallsBack(t *testing.T) {
	for _, test := range []struct {
		name   string
		option []watchtest.Option
		fault  watchtest.Fault
	}{
		{name: "unknown to the server", option: []watchtest.Option{watchtest.WithoutStreamingLists()}, fault: watchtest.Fault{}},
		{name: "its last bookmark never comes", fault: watchtest.Fault{Do: watchtest.OmitInitialEventsEnd()}},
		{name: "silent from the start", fault: watchtest.Fault{Do: watchtest.Silence()}},
		{name: "cut in the middle", fault: watchtest.Fault{After: 2, Do: watchtest.Cut()}},
		{name: "reset in the middle", fault: watchtest.Fault{After: 2, Do: watchtest.Reset()}},
		{name: "a cache that lags behind", fault: watchtest.Fault{Do: watchtest.Answer(apierrors.NewTooManyRequests("the cache lags", 1))}},
	} {
		eachCaseInBubble(t, test.name, func(t *testing.T, newSource modeltest.NewSource) {
			env := newEnv(t, newSource, test.option...)
			for i := range 5 {
				env.create(fmt.Sprint(i))
			}
			if test.option == nil {
				test.fault.On = watchtest.StreamingList
				defer env.server.Inject(test.fault)()
			}
			env.start()
			env.wantEqualToList()
			if old, errs := test.option != nil, env.source.Status().Errors; old != (errs == 0) {
				t.Errorf("%d errors in Status, want none: %v", errs, old)
			}
			env.create("6")
			env.wantEqualToList()
			tries := env.server.Count(watchtest.StreamingList)

			// The source does not request a streaming list again for a while, unless
			// the server was only busy.
			busy := strings.Contains(test.name, "lags")
			env.server.Strike(watchtest.Answer(expired))
			time.Sleep(time.Minute)
			env.wantEqualToList()
			if again := env.server.Count(watchtest.StreamingList) > tries; again != busy {
				t.Errorf("another streaming list within a minute: %v, want %v", again, busy)
			}
		})
	}
}

// A streaming list has no end, but other events continue to arrive: changes of pods, or
// bookmarks without the annotation that ends the list.
func TestEndlessStreamingList(t *testing.T) {
	for _, test := range []struct {
		name   string
		option watchtest.Option
		churn  bool
	}{
		{name: "with changes", option: watchtest.WithBookmarkInterval(0), churn: true},
		{name: "with bookmarks", option: watchtest.WithBookmarkInterval(7 * time.Second)},
	} {
		eachCaseInBubble(t, test.name, func(t *testing.T, newSource modeltest.NewSource) {
			env := newEnv(t, newSource, test.option)
			env.create("1")
			env.start()
			defer env.server.Inject(watchtest.Fault{On: watchtest.StreamingList, Do: watchtest.OmitInitialEventsEnd()})()
			env.server.Strike(watchtest.Answer(expired))
			env.create("2")
			for i := range 30 {
				if test.churn {
					env.update("1", func(p *corev1.Pod) { p.Annotations = map[string]string{"step": fmt.Sprint(i)} })
				}
				time.Sleep(time.Second)
			}
			env.wantEqualToList()
		})
	}
}

// answerNull makes the server answer lists with a JSON null, except the first ones.
func answerNull(server *watchtest.Server, after int) (lift func()) {
	raw := server.Inject(watchtest.Fault{On: watchtest.List, After: after, Do: watchtest.SendRaw([]byte("null"))})
	cut := server.Inject(watchtest.Fault{On: watchtest.List, After: after, Do: watchtest.Cut()})
	return func() { raw(); cut() }
}

// client-go accepts an answer without a version as an empty list. The source must not: it
// would delete every executor.
func TestListWithoutVersion(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		server := watchtest.NewServer(watchtest.WithoutStreamingLists())
		server.Create(pod("1"))
		store := watchsource.NewStore()
		source := newSource(store, server.JSONClient())
		lift := answerNull(server, 0)
		if err := source.Start("app"); err == nil || !strings.Contains(err.Error(), "without a resource version") {
			t.Errorf("Start = %v, want an error that says \"without a resource version\"", err)
		}
		lift()
		start(t, source, "app")
		defer source.Stop()
		defer answerNull(server, 0)()
		server.Compact()
		server.Strike(watchtest.SendError(expired))
		time.Sleep(30 * time.Second)
		if got := names(store.Snapshot()); got != "exec-1=Pending" {
			t.Errorf("snapshot %q, want exec-1=Pending", got)
		}
		if got := source.Status(); got.Phase != watchsource.Retrying {
			t.Errorf("status %+v, want phase Retrying", got)
		}
	})
}

// The source also rejects a list whose last page has no version.
func TestPageWithoutVersion(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		const pods = 600 // more than a page
		server := watchtest.NewServer(watchtest.WithoutStreamingLists())
		for i := range pods {
			server.Create(pod(fmt.Sprint(i)))
		}
		defer answerNull(server, 1)()
		store := watchsource.NewStore()
		source := newSource(store, server.JSONClient())
		defer source.Stop()
		if err := source.Start("app"); err == nil || !strings.Contains(err.Error(), "without a resource version") {
			t.Errorf("Start = %v, with %d of %d executors, want an error that says \"without a resource version\"", err,
				store.Snapshot().Len(), pods)
		}
	})
}

// Start gives up a slow streaming list early enough to have time for a plain list.
func TestSlowStreamingListDuringStart(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		env := newEnv(t, newSource)
		for i := range 200 {
			env.create(fmt.Sprint(i))
		}
		defer env.server.Inject(watchtest.Fault{On: watchtest.StreamingList, Do: watchtest.Slow(300, time.Second)})()
		began := time.Now()
		env.start(watchsource.WithStartTimeout(30 * time.Second))
		if took := time.Since(began); took < 15*time.Second || took > 16*time.Second {
			t.Errorf("Start took %v, want 15s to 16s", took)
		}
		env.wantEqualToList()
	})
}

// disguisedFake gives a fake clientset a REST client, so the source takes it for the client of
// a server, and requests streaming lists from it.
type disguisedFake struct{ kubernetes.Interface }

func (c disguisedFake) CoreV1() typedcorev1.CoreV1Interface {
	return restCore{c.Interface.CoreV1(), struct{ rest.Interface }{}}
}

// Pods change during a streaming list, as they do if the cache of the API server must first
// catch up.
func TestChangesDuringStreamingList(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		client := fake.NewClientset()
		events := watch.NewFakeWithChanSize(10, false)
		client.PrependWatchReactor("pods", k8stesting.DefaultWatchReactor(events, nil))
		for _, id := range []string{"1", "2", "3"} {
			events.Add(pod(id, uid(id), version("1"+id)))
		}
		events.Action(watch.Bookmark, bookmark("19").Object) // does not end the list
		events.Modify(pod("2", uid("2"), version("20"), phase(corev1.PodRunning)))
		events.Delete(pod("3", uid("3"), version("21")))
		events.Delete(pod("1", uid("1"), version("22")))
		events.Add(pod("1", uid("1b"), version("23"), phase(corev1.PodRunning)))
		events.Action(watch.Bookmark, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
			ResourceVersion: "24", Annotations: map[string]string{metav1.InitialEventsAnnotationKey: "true"},
		}})
		store := watchsource.NewStore()
		source := newSource(store, disguisedFake{client})
		start(t, source, "app")
		defer source.Stop()
		synctest.Wait()
		if got := names(store.Snapshot()); got != "exec-1=Running exec-2=Running" || store.Snapshot().ResourceVersion() != "24" {
			t.Errorf("snapshot %q at version %q, want exec-1=Running exec-2=Running at 24", got, store.Snapshot().ResourceVersion())
		}
		if n := source.Status().Events; n != 0 {
			t.Errorf("%d events before the end of the list were reported one by one, want 0", n)
		}
		events.Add(pod("4", version("25")))
		wantNames(t, store, "exec-1=Running exec-2=Running exec-4=Pending")
	})
}
