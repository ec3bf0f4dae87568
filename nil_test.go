// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/watchtest"
)

// wantPanic fails unless a call panics with a text of this library.
func wantPanic(t *testing.T, name, want string, call func()) {
	t.Helper()
	if got := fmt.Sprint(panicOf(call)); got != want {
		t.Errorf("%s: panic %q, want %q", name, got, want)
	}
}

// panicOf returns the value with which a call panics, nil if it does not.
func panicOf(call func()) (value any) {
	defer func() { value = recover() }()
	call()
	return nil
}

// A Store that NewStore has not made says so, whichever method is called.
func TestStoreWithoutNewStore(t *testing.T) {
	const want = "watchsource: use NewStore to make a Store"
	for name, call := range map[string]func(s *watchsource.Store){
		"Snapshot":               func(s *watchsource.Store) { s.Snapshot() },
		"Latest":                 func(s *watchsource.Store) { s.Latest() },
		"UpdatePod":              func(s *watchsource.Store) { s.UpdatePod(pod("1")) },
		"DeletePod":              func(s *watchsource.Store) { s.DeletePod(pod("1")) },
		"ReplaceSnapshot":        func(s *watchsource.Store) { s.ReplaceSnapshot([]*corev1.Pod{pod("1")}) },
		"ReplaceSnapshot(nil)":   func(s *watchsource.Store) { s.ReplaceSnapshot(nil) },
		"ObserveResourceVersion": func(s *watchsource.Store) { s.ObserveResourceVersion("1") },
		"ObserveStop":            func(s *watchsource.Store) { s.ObserveStop() },
		"Backlogs":               func(s *watchsource.Store) { s.Backlogs() },
		"Batches": func(s *watchsource.Store) {
			for range s.Batches(t.Context(), 0) {
				return
			}
		},
		"WaitFor": func(s *watchsource.Store) {
			_, _ = s.WaitFor(t.Context(), func(watchsource.Snapshot) bool { return true })
		},
		"WaitForResourceVersion": func(s *watchsource.Store) { _, _ = s.WaitForResourceVersion(t.Context(), "1") },
	} {
		wantPanic(t, name, want, func() { call(&watchsource.Store{}) })
		wantPanic(t, name+" again", want, func() { // the first panic has not left a lock held
			s := &watchsource.Store{}
			panicOf(func() { call(s) })
			call(s)
		})
	}
}

func TestStartRefusesStoreWithoutNewStore(t *testing.T) {
	eachConstructor(t, func(t *testing.T, newSource modeltest.NewSource) {
		server := watchtest.NewServer()
		err := newSource(&watchsource.Store{}, server.Client()).Start("app")
		if want := "watchsource: start: use NewStore to make a Store"; err == nil || err.Error() != want {
			t.Errorf("Start = %v, want %q", err, want)
		}
		if n := len(server.Requests()); n > 0 {
			t.Errorf("Start made %d requests, want none", n)
		}
	})
}

// A nil option changes nothing, so that a program can leave one out.
func TestNilOptions(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		server := watchtest.NewServer()
		server.Create(pod("1"))
		store := watchsource.NewStore(nil, watchsource.WithoutPods(), nil)
		startSource(t, newSource, server, store, nil, watchsource.WithNamespace("jobs"), nil)
		wantNames(t, store, "exec-1=Pending")
		if e, _ := store.Snapshot().Get("exec-1"); hasPod(t, e) {
			t.Error("the store has the pod, want the option after the nil one to work")
		}
		if got := server.Requests()[0].Namespace; got != "jobs" {
			t.Errorf("a request for namespace %q, want jobs", got)
		}
		watchsource.NewWatcher(store, selectorOf(t, executors), nil).Replace(nil, "1")
	})
}

// WithObserver(nil) is no observer, and a Logger without a sink discards the messages.
func TestNilObserverAndEmptyLogger(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		server := watchtest.NewServer()
		server.Create(pod("1"))
		logger := watchsource.WithLogger(logr.Logger{})
		store := watchsource.NewStore(logger)
		startSource(t, newSource, server, store, logger, watchsource.WithObserver(nil))
		lift := server.Inject(watchtest.Fault{Do: watchtest.Refuse()})
		server.Strike(watchtest.Reset())
		time.Sleep(10 * time.Minute) // all that is logged about an outage
		lift()
		server.Create(pod("2"))
		time.Sleep(10 * time.Minute)
		wantNames(t, store, "exec-1=Pending exec-2=Pending")
	})
}

// A nil selector does not select every pod.
func TestStartRefusesNilSelector(t *testing.T) {
	eachConstructor(t, func(t *testing.T, newSource modeltest.NewSource) {
		for want, option := range map[string]watchsource.Option{
			`watchsource: start: the function of WithSelector is nil`: watchsource.WithSelector(nil),
			`watchsource: start: the function of WithSelector returned a nil selector for application "app"`: watchsource.WithSelector(
				func(string) labels.Selector { return nil }),
		} {
			err := newSource(watchsource.NewStore(), watchtest.NewServer().Client(), option).Start("app")
			if err == nil || err.Error() != want {
				t.Errorf("Start = %v, want %q", err, want)
			}
		}
	})
}

// Values that no constructor has made, and nil arguments of those that return no error.
func TestNilArguments(t *testing.T) {
	var noStore *watchsource.Store
	wantPanic(t, "NewWatcher without a store", "watchsource: NewWatcher: the store is nil",
		func() { watchsource.NewWatcher(nil, selectorOf(t, executors)) })
	wantPanic(t, "NewWatcher with a nil Store", "watchsource: NewWatcher: the store is nil",
		func() { watchsource.NewWatcher(noStore, selectorOf(t, executors)) })
	wantPanic(t, "NewWatcher without a selector", "watchsource: NewWatcher: the selector is nil",
		func() { watchsource.NewWatcher(watchsource.NewStore(), nil) })
	wantPanic(t, "a Watcher without NewWatcher", "watchsource: use NewWatcher to make a Watcher",
		func() { new(watchsource.Watcher).Replace(nil, "1") })
	wantPanic(t, "a Watcher without NewWatcher", "watchsource: use NewWatcher to make a Watcher",
		func() { _ = new(watchsource.Watcher).Receive(added(pod("1"))) })
	wantPanic(t, "Tee with nil", "watchsource: Tee: store 2 of 2 is nil",
		func() { watchsource.Tee(watchsource.NewStore(), nil) })
	wantPanic(t, "Tee with a nil Store", "watchsource: Tee: store 1 of 1 is nil",
		func() { watchsource.Tee(noStore) })

	var source watchsource.WatchSnapshotSource
	if err := source.Start("app"); err == nil || !strings.HasPrefix(err.Error(), "watchsource: start: ") {
		t.Errorf("Start of a source that no constructor has made = %v, want an error", err)
	}
	source.Stop()
	if err := source.Healthy(time.Hour); err == nil {
		t.Error("Healthy = nil for a source that no constructor has made, want an error")
	}
	var shared watchsource.SharedWatch
	if err := shared.Source(watchsource.NewStore()).Start("app"); err == nil || !strings.HasPrefix(err.Error(), "watchsource: start: ") {
		t.Errorf("Start of a shared watch that no constructor has made = %v, want an error", err)
	}
	if err := shared.Healthy(time.Hour); err == nil {
		t.Error("Healthy = nil for a shared watch that no constructor has made, want an error")
	}
}

// Without a client Start says so first, and does not call the function of WithSelector.
func TestStartNamesTheNilClientFirst(t *testing.T) {
	const want = "watchsource: start: the client is nil"
	selector := watchsource.WithSelector(func(string) labels.Selector { return nil })
	eachConstructor(t, func(t *testing.T, newSource modeltest.NewSource) {
		if err := newSource(watchsource.NewStore(), nil, selector).Start(""); err == nil || err.Error() != want {
			t.Errorf("Start = %v, want %q", err, want)
		}
	})
	// A SharedWatch that can route no pod says that last.
	err := watchsource.NewSharedWatch(watchtest.NewServer().Client(), selector).Source(watchsource.NewStore()).Start("")
	if !errors.Is(err, watchsource.ErrInvalidAppID) {
		t.Errorf("Start = %v, want ErrInvalidAppID", err)
	}
}
