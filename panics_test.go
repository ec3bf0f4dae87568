// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apiruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/watchtest"
)

// A panic of the client or the store in Start reaches the caller. The source is stopped
// afterwards.
func TestPanicInStart(t *testing.T) {
	for name, prepare := range map[string]func() (watchsource.SnapshotsStore, *fake.Clientset){
		"the list": func() (watchsource.SnapshotsStore, *fake.Clientset) {
			client := fake.NewClientset()
			client.PrependReactor("list", "pods", func(k8stesting.Action) (bool, apiruntime.Object, error) { panic("broken") })
			return watchsource.NewStore(), client
		},
		"the watch": func() (watchsource.SnapshotsStore, *fake.Clientset) {
			client := fake.NewClientset()
			client.PrependWatchReactor("pods", func(k8stesting.Action) (bool, watch.Interface, error) { panic("broken") })
			return watchsource.NewStore(), client
		},
		"the store": func() (watchsource.SnapshotsStore, *fake.Clientset) {
			return panickingStore{}, fake.NewClientset()
		},
	} {
		eachCaseEachWay(t, name, func(t *testing.T, newSource modeltest.NewSource) {
			store, client := prepare()
			source := newSource(store, client)
			for range 2 { // the second call shows that the source is stopped
				func() {
					defer func() {
						if r := recover(); r != "broken" {
							t.Errorf("recovered %v, want \"broken\"", r)
						}
					}()
					t.Errorf("Start = %v, want a panic", source.Start("app"))
				}()
			}
			source.Stop()
			if got := source.Status().Phase; got != watchsource.Stopped {
				t.Errorf("phase %v, want Stopped", got)
			}
		})
	}
}

type panickingStore struct{ watchsource.SnapshotsStore }

func (panickingStore) ReplaceSnapshot([]*corev1.Pod) { panic("broken") }

// brokenClient panics in every method, because its interface is nil.
type brokenClient struct{ kubernetes.Interface }

// A panic of the client before its first request also reaches the caller.
func TestPanicOfTheClientItself(t *testing.T) {
	eachConstructor(t, func(t *testing.T, newSource modeltest.NewSource) {
		source := newSource(watchsource.NewStore(), brokenClient{})
		for range 2 {
			func() {
				defer func() {
					if recover() == nil {
						t.Error("Start returned, want a panic")
					}
				}()
				t.Errorf("Start = %v, want a panic", source.Start("app"))
			}()
		}
		source.Stop()
	})
}

// panickingSink panics in the first call of WithValues.
type panickingSink struct {
	logr.LogSink
	calls *int
}

func (s panickingSink) WithValues(pairs ...any) logr.LogSink {
	if *s.calls++; *s.calls == 1 {
		panic("broken")
	}
	return s.LogSink.WithValues(pairs...)
}

// A panic of the logger in Start leaves the source stopped and the store free. A SharedWatch
// prepares its logger when it is made.
func TestPanicOfTheLoggerInStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		logger := logr.New(panickingSink{(&logLines{}).logger(0).GetSink(), &calls})
		source := watchsource.NewWatchSnapshotSource(watchsource.NewStore(), watchtest.NewServer().Client(), watchsource.WithLogger(logger))
		if got := panicOf(func() { t.Errorf("Start = %v, want a panic", source.Start("app")) }); got != "broken" {
			t.Errorf("recovered %v, want \"broken\"", got)
		}
		if got := source.Status().Phase; got != watchsource.Stopped {
			t.Errorf("phase %v, want Stopped", got)
		}
		start(t, source, "app")
		source.Stop()
	})
}

// panickingMessageSink panics in the first message.
type panickingMessageSink struct {
	logr.LogSink
	messages *int
}

func (s panickingMessageSink) WithValues(pairs ...any) logr.LogSink {
	return panickingMessageSink{s.LogSink.WithValues(pairs...), s.messages}
}

func (s panickingMessageSink) Info(level int, message string, pairs ...any) {
	if *s.messages++; *s.messages == 1 {
		panic("broken")
	}
	s.LogSink.Info(level, message, pairs...)
}

// A panic of the logger in the first line of Start leaves the source stopped and the store free.
func TestPanicInTheFirstMessage(t *testing.T) {
	eachWayInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		messages := 0
		logger := logr.New(panickingMessageSink{(&logLines{}).logger(4).GetSink(), &messages})
		source := newSource(watchsource.NewStore(), watchtest.NewServer().Client(), watchsource.WithLogger(logger))
		if got := panicOf(func() { t.Errorf("Start = %v, want a panic", source.Start("app")) }); got != "broken" {
			t.Errorf("recovered %v, want \"broken\"", got)
		}
		if got := source.Status().Phase; got != watchsource.Stopped {
			t.Errorf("phase %v, want Stopped", got)
		}
		start(t, source, "app")
		source.Stop()
	})
}

// exitingStore ends the goroutine that calls ObserveStop, as T.FailNow does.
type exitingStore struct{ watchsource.SnapshotsStore }

func (exitingStore) ObserveStop() { runtime.Goexit() }

// If ObserveStop ends its goroutine, Stop returns, and the store is free.
func TestObserveStopEndsItsGoroutine(t *testing.T) {
	eachWayInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		source := newSource(exitingStore{watchsource.NewStore()}, watchtest.NewServer().Client())
		for range 2 {
			start(t, source, "app")
			source.Stop()
		}
	})
}

// If the observer ends the watch goroutine, Stop returns, and the watch is stopped.
func TestObserverEndsItsGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		shared := watchsource.NewSharedWatch(server.Client(), watchsource.WithObserver(func(o watchsource.Observation) {
			if o.Kind == watchsource.Received {
				runtime.Goexit()
			}
		}))
		_, source := startShared(t, shared, "app")
		server.Create(pod("1"))
		synctest.Wait()
		source.Stop()
		if got := shared.Status().Phase; got != watchsource.Stopped || shared.Healthy(time.Hour) == nil {
			t.Errorf("phase %v, Healthy %v after Stop; want Stopped and an error", got, shared.Healthy(time.Hour))
		}
	})
}
