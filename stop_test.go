// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	k8stesting "k8s.io/client-go/testing"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/watchtest"
)

// Stop takes no time, and waits for calls of the store.

func TestStopIsQuickInEveryState(t *testing.T) {
	for _, test := range []struct {
		name  string
		fault watchtest.Effect
		// cut says that the open stream is reset, and the fault injected before.
		cut bool
	}{
		{name: "watching", fault: watchtest.Effect{}},
		{name: "backing off from a server that is away", fault: watchtest.Refuse(), cut: true},
		{name: "backing off as the server asked", fault: watchtest.Answer(busy), cut: true},
		{name: "waiting for an answer", fault: watchtest.Hang(), cut: true},
		{name: "waiting for a silent stream", fault: watchtest.Silence(), cut: true},
	} {
		eachCaseInBubble(t, test.name, func(t *testing.T, newSource modeltest.NewSource) {
			env := newEnv(t, newSource)
			env.start()
			if test.cut {
				defer env.server.Inject(watchtest.Fault{Do: test.fault})()
				env.server.Strike(watchtest.Reset())
				time.Sleep(20 * time.Second)
			}
			began := time.Now()
			env.source.Stop()
			if took := time.Since(began); took > 100*time.Millisecond {
				t.Errorf("Stop took %v, want at most 100ms", took)
			}
			synctest.Wait()
			if streams := env.server.Streams(); len(streams) > 0 {
				t.Errorf("%d streams are open, want none", len(streams))
			}
		})
	}
}

// blockingStore blocks in ReplaceSnapshot.
type blockingStore struct {
	*watchsource.Store
	block <-chan struct{}
}

func (s blockingStore) ReplaceSnapshot(pods []*corev1.Pod) {
	<-s.block
	s.Store.ReplaceSnapshot(pods)
}

// Run stops the source and closes its stream if the context ends while the store receives
// the first list.
func TestRunEndsDuringTheFirstList(t *testing.T) {
	for range 100 {
		eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
			server := watchtest.NewServer()
			block := make(chan struct{})
			source := newSource(blockingStore{watchsource.NewStore(), block}, server.Client())
			ctx, cancel := context.WithCancel(t.Context())
			result := make(chan error)
			go func() { result <- source.Run(ctx, "app") }()
			synctest.Wait()
			cancel()
			synctest.Wait() // so that the stream has ended too
			close(block)
			if err := <-result; err != nil {
				t.Errorf("Run = %v, want nil", err)
			}
			if n, phase := len(server.Streams()), source.Status().Phase; n > 0 || phase != watchsource.Stopped {
				t.Fatalf("%d streams are open after Run, phase %v, want none and Stopped", n, phase)
			}
			start(t, source, "app")
			source.Stop()
		})
	}
}

// stoppingStore calls a function, which stops the source, from UpdatePod.
type stoppingStore struct {
	*watchsource.Store
	stop func()
}

func (s *stoppingStore) UpdatePod(*corev1.Pod) { s.stop() }

// If the store or the observer calls Stop, Stop waits for that call to return, and the call
// waits for Stop. The source logs this.
func TestStopFromWithinACallIsLogged(t *testing.T) {
	for name, waitingFor := range map[string]string{"store": "a call of the store", "observer": "a call of the observer"} {
		eachCaseInBubble(t, name, func(t *testing.T, newSource modeltest.NewSource) {
			server := watchtest.NewServer()
			log := &logLines{}
			var source *watchsource.WatchSnapshotSource
			stopping, released := make(chan struct{}), make(chan struct{})
			stop := func() { // waits until the test releases it, so that the test can end
				<-stopping
				go source.Stop()
				<-released
			}
			store := &stoppingStore{watchsource.NewStore(), func() {}}
			options := []watchsource.Option{watchsource.WithLogger(log.logger(0))}
			if name == "store" {
				store.stop = stop
			} else {
				options = append(options, watchsource.WithObserver(func(o watchsource.Observation) {
					if o.Kind == watchsource.Received {
						stop()
					}
				}))
			}
			source = newSource(store, server.Client(), options...)
			start(t, source, "app")
			server.Create(pod("1"))
			synctest.Wait()
			server.Create(pod("2")) // which a shared watch receives meanwhile
			synctest.Wait()
			close(stopping)
			time.Sleep(4 * time.Second)
			if lines := log.matching("Stop"); len(lines) != 0 {
				t.Errorf("logged %q after four seconds, want nothing", lines)
			}
			time.Sleep(time.Minute)
			if lines := log.matching("Stop", waitingFor); len(lines) != 1 || len(log.matching()) != 1 {
				t.Errorf("logged %q, want one line that says %q", log.matching(), waitingFor)
			}
			close(released)
			source.Stop()
		})
	}
}

func TestStopAndStartAgain(t *testing.T) {
	eachWayInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
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

func (c contextOnlyClient) CoreV1() typedcorev1.CoreV1Interface { return c }

func (c contextOnlyClient) RESTClient() rest.Interface { return nil }

func (c contextOnlyClient) Pods(string) typedcorev1.PodInterface { return c }

func (c contextOnlyClient) Watch(ctx context.Context, _ metav1.ListOptions) (watch.Interface, error) {
	*c.watches = append(*c.watches, ctx)
	return watch.NewProxyWatcher(c.events), nil
}

// The source cancels the context of a watch when the watch ends, for any reason.
func TestAWatchEndsWithItsContext(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		pods := fake.NewClientset()
		client := contextOnlyClient{
			wrappedClient: wrappedClient{pods}, PodInterface: pods.CoreV1().Pods(""), watches: new([]context.Context),
			events: make(chan watch.Event),
		}
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
	eachWayInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
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
	eachWayInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
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

// slowlyStopping needs a minute for ObserveStop.
type slowlyStopping struct{ watchsource.SnapshotsStore }

func (slowlyStopping) ObserveStop() { time.Sleep(time.Minute) }

// While ObserveStop blocks, no watch is open, and the status does not say that the view is current.
func TestStatusDuringObserveStop(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		source := newSource(slowlyStopping{watchsource.NewStore()}, watchtest.NewServer().Client())
		start(t, source, "app")
		go source.Stop()
		time.Sleep(30 * time.Second)
		if got := source.Status().Phase; got == watchsource.Watching {
			t.Errorf("phase %v half a minute after the watch has ended", got)
		}
		time.Sleep(time.Minute)
		if got := source.Status().Phase; got != watchsource.Stopped {
			t.Errorf("phase %v after Stop, want Stopped", got)
		}
	})
}
