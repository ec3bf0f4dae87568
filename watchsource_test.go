// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	k8stesting "k8s.io/client-go/testing"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/internal/test/podtest"
)

// The tests of this file use client-go's fake clientset, as users do in their own tests.

func create(t *testing.T, client kubernetes.Interface, p *corev1.Pod) {
	t.Helper()
	if _, err := client.CoreV1().Pods(p.Namespace).Create(t.Context(), p, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, client kubernetes.Interface, p *corev1.Pod) {
	t.Helper()
	if err := client.CoreV1().Pods(p.Namespace).Delete(t.Context(), p.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
}

func modify(t *testing.T, client kubernetes.Interface, p *corev1.Pod) {
	t.Helper()
	if _, err := client.CoreV1().Pods(p.Namespace).UpdateStatus(t.Context(), p, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func start(t *testing.T, source *watchsource.WatchSnapshotSource, appID string) {
	t.Helper()
	if err := source.Start(appID); err != nil {
		t.Fatal(err)
	}
}

// names lists the executors of a snapshot with their states.
func names(s watchsource.Snapshot) string {
	var all []string
	for e := range s.All() {
		all = append(all, fmt.Sprintf("%s=%v", e.Name, e.State))
	}
	return strings.Join(all, " ")
}

func wantNames(t *testing.T, store *watchsource.Store, want string) {
	t.Helper()
	synctest.Wait()
	if got := names(store.Snapshot()); got != want {
		t.Errorf("snapshot %q, want %q", got, want)
	}
}

func driver(app string) *corev1.Pod {
	return pod("driver", label(watchsource.LabelApp, app), label(watchsource.LabelRole, "driver"))
}

func TestFakeClientsetLife(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		client := fake.NewClientset(pod("1", phase(corev1.PodRunning)), driver("app"), pod("9", label(watchsource.LabelApp, "other")))
		store := watchsource.NewStore()
		source := newSource(store, client)
		start(t, source, "app")
		defer source.Stop()
		wantNames(t, store, "exec-1=Running")

		create(t, client, pod("2"))
		create(t, client, pod("driver-2", label(watchsource.LabelRole, "driver")))
		create(t, client, pod("8", label(watchsource.LabelApp, "other")))
		wantNames(t, store, "exec-1=Running exec-2=Pending")

		modify(t, client, pod("2", phase(corev1.PodRunning)))
		modify(t, client, pod("1", phase(corev1.PodFailed), container(executorContainer, ended(137, "OOMKilled"))))
		wantNames(t, store, "exec-1=Failed exec-2=Running")

		// exec-2 gets the label of another application, and the driver that of an executor.
		modify(t, client, pod("2", phase(corev1.PodRunning), label(watchsource.LabelApp, "other")))
		modify(t, client, pod("driver", phase(corev1.PodRunning), label(watchsource.LabelRole, watchsource.RoleExecutor)))
		wantNames(t, store, "exec-1=Failed exec-driver=Running")

		remove(t, client, pod("1"))
		wantNames(t, store, "exec-driver=Running")
	})
}

// The store receives a pod that is created right after Start has returned, and no pod that
// does not match.
func TestFakeClientsetAfterStart(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		for round := range 50 {
			client := fake.NewClientset()
			store := &recordingStore{}
			source := newSource(store, client, watchsource.WithNamespace("jobs"))
			start(t, source, "app")
			create(t, client, pod("1"))
			create(t, client, driver("app"))
			create(t, client, pod("2", label(watchsource.LabelApp, "other")))
			create(t, client, pod("3", func(p *corev1.Pod) { p.Namespace = "elsewhere" }))
			synctest.Wait()
			source.Stop()
			if got := strings.Join(store.all(), ", "); got != "replace, update exec-1" {
				t.Fatalf("round %d: the store received %q, want %q", round, got, "replace, update exec-1")
			}
		}
	})
}

// The fake clientset's watch does not send a deletion that happened between the list and the
// watch. The source must notice it.
func TestFakeClientsetDeletionBetweenListAndWatch(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		client := fake.NewClientset(pod("1"), pod("2"))
		once := sync.OnceFunc(func() {
			if err := client.Tracker().Delete(podsResource, "jobs", "exec-1"); err != nil {
				t.Error(err)
			}
		})
		client.PrependWatchReactor("pods", func(k8stesting.Action) (bool, watch.Interface, error) {
			once()
			return false, nil, nil
		})
		store := watchsource.NewStore()
		source := newSource(store, client)
		start(t, source, "app")
		defer source.Stop()
		wantNames(t, store, "exec-2=Pending")
	})
}

// The source must also notice a deletion that happened while the watch after a list was
// refused.
func TestFakeClientsetDeletionWhileItsWatchIsRefused(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		client := fake.NewClientset(pod("1"), pod("2"))
		first, refusals := watch.NewFake(), 2
		client.PrependWatchReactor("pods", func(k8stesting.Action) (bool, watch.Interface, error) {
			if first != nil {
				w := first
				first = nil
				return true, w, nil
			}
			refusals--
			return refusals >= 0, nil, errors.New("not now")
		})
		opened := first
		store := watchsource.NewStore()
		source := newSource(store, client)
		start(t, source, "app")
		defer source.Stop()
		opened.Stop()
		time.Sleep(time.Second) // the source lists again, and its watch is refused
		remove(t, client, pod("1"))
		time.Sleep(time.Minute)
		wantNames(t, store, "exec-2=Pending")
	})
}

var podsResource = schema.GroupVersionResource{Version: "v1", Resource: "pods"}

// The cases W1 of Spark's ExecutorPodsWatchSnapshotSourceSuite, and a DELETED event, which
// the suite does not have. The test itself sends the events of the watch.
func TestFakeWatchReactor(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		client := fake.NewClientset()
		events := watch.NewFake()
		client.PrependWatchReactor("pods", k8stesting.DefaultWatchReactor(events, nil))
		store := &recordingStore{}
		source := newSource(store, client)
		start(t, source, "app")
		events.Add(pod("1"))
		events.Modify(pod("2"))
		events.Add(driver("app"))
		events.Delete(driver("app"))
		events.Delete(pod("1"))
		synctest.Wait()
		source.Stop()
		if got := strings.Join(store.all(), ", "); got != "replace, update exec-1, update exec-2, delete exec-1" {
			t.Errorf("the store received %q, want an empty list, two updates and a deletion", got)
		}
		if !events.IsStopped() {
			t.Error("the watch is open after Stop, want it stopped")
		}
	})
}

func TestWatchIsLabelSelected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset()
		source := watchsource.NewWatchSnapshotSource(watchsource.NewStore(), client, watchsource.WithNamespace("jobs"))
		start(t, source, "app-7")
		source.Stop()
		for _, action := range client.Actions() {
			var selector labels.Selector
			switch action := action.(type) {
			case k8stesting.ListAction:
				selector = action.GetListRestrictions().Labels
			case k8stesting.WatchAction:
				selector = action.GetWatchRestrictions().Labels
			}
			if got := selector.String(); got != "spark-app-selector=app-7,spark-role=executor" {
				t.Errorf("%s with the selector %q, want spark-app-selector=app-7,spark-role=executor", action.GetVerb(), got)
			}
			if action.GetNamespace() != "jobs" {
				t.Errorf("%s in namespace %q, want jobs", action.GetVerb(), action.GetNamespace())
			}
		}
	})
}

func TestStartRefusesBadApplicationIDs(t *testing.T) {
	eachConstructor(t, func(t *testing.T, newSource modeltest.NewSource) {
		client := fake.NewClientset()
		source := newSource(watchsource.NewStore(), client)
		for _, appID := range []string{"", " ", "a b", "ends-with-dash-", "a=b", strings.Repeat("x", 64)} {
			if err := source.Start(appID); !errors.Is(err, watchsource.ErrInvalidAppID) {
				t.Errorf("Start(%q) = %v, want ErrInvalidAppID", appID, err)
			}
		}
		if actions := client.Actions(); len(actions) > 0 {
			t.Errorf("Start made the requests %v, want none", actions)
		}
	})
}

func TestStartRefusesNil(t *testing.T) {
	eachConstructor(t, func(t *testing.T, newSource modeltest.NewSource) {
		var noStore *watchsource.Store
		var noClient *kubernetes.Clientset
		for _, test := range []struct {
			store  watchsource.SnapshotsStore
			client kubernetes.Interface
			want   string
		}{
			{store: nil, client: fake.NewClientset(), want: "the store is nil"},
			{store: noStore, client: fake.NewClientset(), want: "the store is nil"},
			{store: watchsource.NewStore(), want: "the client is nil"},
			{store: watchsource.NewStore(), client: noClient, want: "the client is nil"},
		} {
			err := newSource(test.store, test.client).Start("app")
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Start = %v, want %q", err, test.want)
			}
		}
	})
}

func TestStartRefusesSelectorOfEverything(t *testing.T) {
	eachConstructor(t, func(t *testing.T, newSource modeltest.NewSource) {
		for _, selector := range []labels.Selector{labels.Everything(), labels.NewSelector()} {
			source := newSource(watchsource.NewStore(), fake.NewClientset(),
				watchsource.WithSelector(func(string) labels.Selector { return selector }))
			if err := source.Start("app"); err == nil || !strings.Contains(err.Error(), "selects every pod") {
				t.Errorf("Start = %v, want an error that says \"selects every pod\"", err)
			}
		}
	})
}

func TestWithSelector(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		selected := pod("1", label("batch.example/job", "nightly"))
		client := fake.NewClientset(selected, pod("2"))
		store := watchsource.NewStore()
		source := newSource(store, client, watchsource.WithSelector(func(appID string) labels.Selector {
			return labels.SelectorFromSet(labels.Set{"batch.example/job": appID})
		}))
		start(t, source, "nightly")
		defer source.Stop()
		create(t, client, pod("3"))
		create(t, client, pod("4", label("batch.example/job", "nightly")))
		wantNames(t, store, "exec-1=Pending exec-4=Pending")
	})
}

func TestSecondStartKeepsTheFirstWatch(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		client := fake.NewClientset()
		store := watchsource.NewStore()
		source := newSource(store, client)
		start(t, source, "app")
		defer source.Stop()
		requests := len(client.Actions())
		for _, appID := range []string{"app", "other"} {
			if err := source.Start(appID); !errors.Is(err, watchsource.ErrAlreadyStarted) {
				t.Errorf("second Start(%q) = %v, want ErrAlreadyStarted", appID, err)
			}
		}
		if got := len(client.Actions()); got != requests {
			t.Errorf("%d requests after the second Start, want %d as before", got, requests)
		}
		create(t, client, pod("1"))
		wantNames(t, store, "exec-1=Pending")
		if got := source.Status().AppID; got != "app" {
			t.Errorf("application %q in Status, want app", got)
		}
	})
}

func TestStopAndStartAgain(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		client := fake.NewClientset(pod("1"), pod("2", label(watchsource.LabelApp, "other")))
		store := watchsource.NewStore()
		source := newSource(store, client)
		source.Stop() // before Start
		start(t, source, "app")
		wantNames(t, store, "exec-1=Pending")
		source.Stop()
		source.Stop()
		create(t, client, pod("3"))
		wantNames(t, store, "exec-1=Pending")
		start(t, source, "other")
		defer source.Stop()
		wantNames(t, store, "exec-2=Pending")
	})
}

func TestStartFailsWithTheServersMessage(t *testing.T) {
	forbidden := apierrors.NewForbidden(podsResource.GroupResource(), "", errors.New("no rights"))
	for _, test := range []struct {
		name      string
		verb      string
		err       error
		namespace string
		is        func(error) bool
		says      []string
	}{
		{name: "list forbidden", verb: "list", err: forbidden, namespace: "jobs", is: apierrors.IsForbidden, says: []string{`list pods in namespace "jobs"`, "grant the verbs list and watch on the resource pods with a Role"}},
		{name: "list forbidden everywhere", verb: "list", err: forbidden, is: apierrors.IsForbidden, says: []string{"list pods in all namespaces", "ClusterRole", "WithNamespace"}},
		{name: "watch forbidden though the list worked", verb: "watch", err: forbidden, namespace: "jobs", is: apierrors.IsForbidden, says: []string{`watch pods in namespace "jobs"`, "grant the verbs list and watch"}},
		{name: "unauthorized", verb: "list", err: apierrors.NewUnauthorized("who are you"), namespace: "jobs", is: apierrors.IsUnauthorized, says: []string{"check the token"}},
		{name: "internal error", verb: "list", err: apierrors.NewInternalError(errors.New("boom")), namespace: "jobs", is: apierrors.IsInternalError, says: []string{"boom"}},
		{name: "no API error", verb: "watch", err: errors.New("a plug was pulled"), namespace: "jobs", is: func(err error) bool { return true }, says: []string{"watch pods", "a plug was pulled"}},
	} {
		eachCaseInBubble(t, test.name, func(t *testing.T, newSource modeltest.NewSource) {
			client := fake.NewClientset(pod("1"))
			broken := true
			client.PrependReactor(test.verb, "pods", func(k8stesting.Action) (bool, runtime.Object, error) {
				return broken, nil, test.err
			})
			client.PrependWatchReactor("pods", func(action k8stesting.Action) (bool, watch.Interface, error) {
				return broken && test.verb == "watch", nil, test.err
			})
			store := &recordingStore{}
			source := newSource(store, client, watchsource.WithNamespace(test.namespace))
			began := time.Now()
			err := source.Start("app")
			if err == nil || !test.is(err) || !errors.Is(err, test.err) {
				t.Fatalf("Start = %v, want an error that wraps %v", err, test.err)
			}
			for _, part := range append(test.says, "watchsource: start: ") {
				if strings.Count(err.Error(), part) != 1 {
					t.Errorf("the error is %q, want %q in it once", err, part)
				}
			}
			if took := time.Since(began); took > time.Second {
				t.Errorf("Start took %v, want at most 1s", took)
			}
			if calls := store.all(); len(calls) > 0 {
				t.Errorf("the store received %q, want no calls", calls)
			}
			if got := source.Status().Phase; got != watchsource.Stopped {
				t.Errorf("phase %v, want Stopped", got)
			}

			broken = false
			start(t, source, "app")
			source.Stop()
			if calls := store.all(); len(calls) != 1 || calls[0] != "replace exec-1" {
				t.Errorf("the store received %q, want [\"replace exec-1\"]", calls)
			}
		})
	}
}

// hangingClient returns a client whose lists block until release is closed. They ignore
// their context.
func hangingClient(release <-chan struct{}) *fake.Clientset {
	client := fake.NewClientset()
	client.PrependReactor("list", "pods", func(k8stesting.Action) (bool, runtime.Object, error) {
		<-release
		return false, nil, nil
	})
	return client
}

func TestStartTimeout(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		release := make(chan struct{})
		defer close(release)
		source := newSource(watchsource.NewStore(), hangingClient(release), watchsource.WithStartTimeout(5*time.Second))
		began := time.Now()
		err := source.Start("app")
		if !errors.Is(err, context.DeadlineExceeded) || !apierrors.IsTimeout(err) {
			t.Errorf("Start = %v, want a timeout", err)
		}
		if took := time.Since(began); took < 5*time.Second || took > 6*time.Second {
			t.Errorf("Start took %v, want 5s to 6s", took)
		}
	})
}

// If Start times out after the first call of the store, it has succeeded: a Start that
// fails must not have called the store.
func TestStartTimeoutAfterTheFirstList(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		store := &recordingStore{block: make(chan struct{})}
		time.AfterFunc(time.Minute, func() { close(store.block) })
		client := fake.NewClientset()
		source := newSource(store, client, watchsource.WithStartTimeout(5*time.Second))
		start(t, source, "app")
		create(t, client, pod("1"))
		synctest.Wait()
		source.Stop()
		want := []string{"replace", "update exec-1"}
		if got := store.all(); !slices.Equal(got, want) {
			t.Errorf("the store received %q, want %q", got, want)
		}
	})
}

func TestStopDuringStart(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		release := make(chan struct{})
		defer close(release)
		source := newSource(watchsource.NewStore(), hangingClient(release))
		failed := make(chan error)
		go func() { failed <- source.Start("app") }()
		synctest.Wait()
		if err := source.Start("other"); !errors.Is(err, watchsource.ErrAlreadyStarted) {
			t.Errorf("Start during another Start = %v, want ErrAlreadyStarted", err)
		}

		began := time.Now()
		var stops sync.WaitGroup
		for range 3 {
			stops.Go(source.Stop)
		}
		if err := <-failed; !errors.Is(err, watchsource.ErrStopped) {
			t.Errorf("Start = %v, want ErrStopped", err)
		}
		stops.Wait()
		if took := time.Since(began); took > time.Second {
			t.Errorf("Stop took %v, want at most 1s", took)
		}
	})
}

// slowStream is a stream that closes 50 milliseconds after Stop.
type slowStream struct {
	events chan watch.Event
	closed bool
}

func (w *slowStream) ResultChan() <-chan watch.Event { return w.events }

func (w *slowStream) Stop() {
	time.AfterFunc(50*time.Millisecond, func() {
		w.closed = true
		close(w.events)
	})
}

// If a stream opens while Stop waits for its request, Stop also waits until the client has
// closed the stream.
func TestStopWaitsForTheStreamBeingOpened(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		client := fake.NewClientset()
		late := &slowStream{events: make(chan watch.Event)}
		client.PrependWatchReactor("pods", func(k8stesting.Action) (bool, watch.Interface, error) {
			time.Sleep(100 * time.Millisecond)
			return true, late, nil
		})
		source := newSource(watchsource.NewStore(), client)
		failed := make(chan error)
		go func() { failed <- source.Start("app") }()
		synctest.Wait()
		time.Sleep(80 * time.Millisecond)
		source.Stop()
		if !late.closed {
			t.Error("the stream is open after Stop, want it closed")
		}
		if err := <-failed; !errors.Is(err, watchsource.ErrStopped) {
			t.Errorf("Start = %v, want ErrStopped", err)
		}
	})
}

// contextOnlyClient is a client whose watches end with their context, but not with Stop.
type contextOnlyClient struct {
	wrappedClient
	typedcorev1.CoreV1Interface
	typedcorev1.PodInterface
	watches *[]context.Context
	events  chan watch.Event
}

func (c contextOnlyClient) CoreV1() typedcorev1.CoreV1Interface  { return c }
func (c contextOnlyClient) RESTClient() rest.Interface           { return nil }
func (c contextOnlyClient) Pods(string) typedcorev1.PodInterface { return c }
func (c contextOnlyClient) Watch(ctx context.Context, _ metav1.ListOptions) (watch.Interface, error) {
	*c.watches = append(*c.watches, ctx)
	return watch.NewProxyWatcher(c.events), nil
}

// The source cancels the context of a watch when the watch ends, for any reason.
func TestAWatchEndsWithItsContext(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		pods := fake.NewClientset()
		client := contextOnlyClient{wrappedClient: wrappedClient{pods}, PodInterface: pods.CoreV1().Pods(""), watches: new([]context.Context), events: make(chan watch.Event)}
		source := newSource(watchsource.NewStore(), client)
		start(t, source, "app")
		defer source.Stop()
		open := (*client.watches)[len(*client.watches)-1]
		client.events <- errorEvent(internal)
		synctest.Wait()
		if open.Err() == nil {
			t.Error("the context of an ended watch is active, want it cancelled")
		}
	})
}

// G10: Stop waits for a call of the store that is in progress. After Stop the source does
// not call the store.
func TestGuarantee10StopWaitsForTheStore(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		client := fake.NewClientset()
		store := &recordingStore{}
		source := newSource(store, client)
		start(t, source, "app")

		release := make(chan struct{})
		store.mu.Lock()
		store.block = release
		store.mu.Unlock()
		create(t, client, pod("1"))
		create(t, client, pod("2"))
		synctest.Wait() // the store is in its call
		stopped := make(chan struct{})
		go func() { source.Stop(); close(stopped) }()
		synctest.Wait()
		select {
		case <-stopped:
			t.Error("Stop returned during a call of the store, want it to wait")
		default:
		}
		close(release)
		<-stopped
		calls := len(store.all())
		create(t, client, pod("3"))
		time.Sleep(time.Hour)
		if got := store.all(); len(got) != calls {
			t.Errorf("after Stop the store received %q, want no calls", got[calls:])
		}
	})
}

func TestRun(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		client := fake.NewClientset()
		store := watchsource.NewStore()
		source := newSource(store, client)
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error)
		go func() { result <- source.Run(ctx, "app") }()
		synctest.Wait()
		create(t, client, pod("1"))
		wantNames(t, store, "exec-1=Pending")
		cancel()
		if err := <-result; err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
		if err := source.Run(ctx, "app"); err != nil {
			t.Errorf("Run with an ended context = %v, want nil", err)
		}
		if err := source.Run(t.Context(), ""); !errors.Is(err, watchsource.ErrInvalidAppID) {
			t.Errorf("Run without an application = %v, want ErrInvalidAppID", err)
		}

		// Another goroutine stops the source, and starts it for another application.
		go func() { result <- source.Run(t.Context(), "app") }()
		synctest.Wait()
		source.Stop()
		if err := <-result; err != nil {
			t.Errorf("Run after Stop = %v, want nil", err)
		}
		start(t, source, "other")
		source.Stop()
	})
}

func TestLogging(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		log, quiet := &logLines{}, &logLines{}
		for _, l := range []struct {
			lines     *logLines
			verbosity int
		}{{lines: log, verbosity: 4}, {lines: quiet, verbosity: 3}} {
			client := fake.NewClientset()
			source := newSource(&recordingStore{}, client, watchsource.WithLogger(l.lines.logger(l.verbosity)))
			start(t, source, "app-1")
			create(t, client, pod("1", label(watchsource.LabelApp, "app-1"), func(p *corev1.Pod) {
				p.Spec.Containers = []corev1.Container{{Name: "c", Env: []corev1.EnvVar{{Name: "PASSWORD", Value: "s3cret"}}}}
			}))
			remove(t, client, pod("1"))
			synctest.Wait()
			source.Stop()
		}
		for _, want := range [][]string{
			{`"msg"="Starting watch for pods with labels spark-app-selector=app-1, spark-role=executor."`},
			{`"msg"="Received pod event"`, `"name"="exec-1"`, `"type"="ADDED"`},
			{`"msg"="Received pod event"`, `"name"="exec-1"`, `"type"="DELETED"`},
		} {
			if lines := log.matching(want...); len(lines) != 1 {
				t.Errorf("%d lines with %s, want 1: %q", len(lines), want, log.matching())
			}
		}
		if lines := log.matching("s3cret"); len(lines) > 0 {
			t.Errorf("logged the environment of a pod, want it left out: %s", lines)
		}
		if lines := quiet.matching(); len(lines) > 0 {
			t.Errorf("a watch without faults logged %s below debug level, want nothing", lines)
		}
	})
}

// WithTrimmedPods says which parts of a pod a user's own store receives. A Store has the whole pod
// with it too.
func TestTrimmedPods(t *testing.T) {
	full := pod("1", phase(corev1.PodRunning), container("side", running()), container(executorContainer, running()), containerPolicy("side", "Always"),
		func(p *corev1.Pod) {
			p.Spec.NodeName = "node-1"
			p.Spec.Volumes = []corev1.Volume{{Name: "scratch"}}
			p.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubelet"}}
			p.Annotations = map[string]string{"note": "kept"}
		})
	before := full.DeepCopy()
	for _, test := range []struct {
		name    string
		options []watchsource.Option
		want    func(p *corev1.Pod)
	}{
		{name: "default", want: func(p *corev1.Pod) { p.ManagedFields = nil }},
		{name: "trimmed", options: []watchsource.Option{watchsource.WithTrimmedPods()}, want: func(p *corev1.Pod) {
			p.ManagedFields = nil
			p.Spec = podtest.TrimmedSpec(p)
		}},
	} {
		eachCaseInBubble(t, test.name, func(t *testing.T, newSource modeltest.NewSource) {
			client := fake.NewClientset(full)
			store, user := watchsource.NewStore(), new(podRecorder)
			for _, to := range []watchsource.SnapshotsStore{store, user} {
				source := newSource(to, client, test.options...)
				start(t, source, "app")
				defer source.Stop()
			}
			second := full.DeepCopy()
			second.Name = "exec-2"
			create(t, client, second)
			synctest.Wait()
			for i, name := range []string{"exec-1", "exec-2"} {
				whole := before.DeepCopy()
				whole.Name, whole.ManagedFields = name, nil
				want := whole.DeepCopy()
				test.want(want)
				if got := user.all[i]; !podtest.Equal(got, want) {
					t.Errorf("%s: the user's store has\n%+v\nwant\n%+v", name, got, want)
				}
				e, _ := store.Snapshot().Get(name)
				if got := keptPod(t, e); !podtest.Equal(got, whole) {
					t.Errorf("%s: the Store has\n%+v\nwant\n%+v", name, got, whole)
				}
				if e.State != watchsource.Running || e.Node != "node-1" {
					t.Errorf("%s: %v on %q, want Running on node-1", name, e.State, e.Node)
				}
			}
		})
	}

	// A pod can be shared with other code, as with a fake watch, so trimming must copy it.
	watcher := watchsource.NewWatcher(&recordingStore{}, selectorOf(t, executors), watchsource.WithTrimmedPods())
	must(t, watcher.Receive(added(full)))
	watcher.Replace([]*corev1.Pod{full}, "1")
	if !podtest.Equal(full, before) {
		t.Errorf("the original pod is now\n%+v\nwant\n%+v", full, before)
	}
}
