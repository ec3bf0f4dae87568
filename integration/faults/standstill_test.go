// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"sync"
	"testing"
	"time"

	"github.com/executorpods/watchsource"
	"k8s.io/apimachinery/pkg/watch"
)

// Guarantee 6, with all timers at their defaults: the API server stands
// still for longer than a watch may be silent. One source is connected to it and
// finds out by HTTP/2's pings; the other is connected to a proxy that answers
// these, and finds out by the silence.
func TestServerStandsStill(t *testing.T) {
	if !*long {
		t.Skip("takes six minutes: only with -long")
	}
	const (
		bookmarkWait = 3 * time.Minute   // the server sends one about once a minute
		standstill   = 175 * time.Second // a watch may be silent for 150
		patience     = 90 * time.Second  // the longest pause between two attempts is 45
	)
	s := newScene(t)
	direct := s.identity.config("https://" + s.link.address)
	proxied := s.tlsProxy.through(direct)

	var once sync.Once
	marked := make(chan struct{})
	behindProxy := newSource(t, proxied, s.namespace, watchsource.WithObserver(func(o watchsource.Observation) {
		if o.Kind == watchsource.Received && o.Event == watch.Bookmark {
			once.Do(func() { close(marked) })
		}
	}))
	sources := []*source{newSource(t, direct, s.namespace), behindProxy}
	informers := []*informer{newInformer(t, direct, s.namespace), newInformer(t, proxied, s.namespace)}
	select {
	case <-marked:
	case <-time.After(bookmarkWait):
		t.Fatal("the server sends no bookmarks")
	}

	var before []watchsource.Status
	var spent []count
	var watchers []watcher
	for i := range sources {
		before = append(before, sources[i].Status())
		watchers = append(watchers, sources[i], informers[i])
		spent = append(spent, sources[i].count(), informers[i].count())
	}
	resume, err := server.PauseAPIServer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(standstill)
	for i, name := range []string{"direct", "behind a proxy"} {
		if now := sources[i].Status(); now.Phase != watchsource.Retrying || now.Err == nil {
			t.Errorf("%s: after %v the status is %+v", name, standstill, now)
		}
	}
	if stalls := behindProxy.Status().Stalls; stalls != 1 {
		t.Errorf("behind a proxy: %d stalls, want 1", stalls)
	}
	if err := resume(); err != nil {
		t.Fatal(err)
	}

	outcomes := s.application.converge(t, patience, readers(watchers)...)
	for i, w := range watchers {
		agrees := s.application.agree(t, w)
		outcomes[i].converged = outcomes[i].converged && agrees[0]
		outcomes[i].count = w.count().since(spent[i])
		outcomes[i].last = w.lastError()
	}
	for i, name := range []string{"direct", "behind a proxy"} {
		s.application.mustEqualList(t, sources[i])
		f := fault{name: name, breaks: true}
		f.judge(t, sources[i].name, outcomes[2*i], before[i], sources[i].Status())
		t.Logf("%s:\nwatchsource    %s\nSharedInformer %s\n%s", name, outcomes[2*i], outcomes[2*i+1], sources[i].journal.page())
	}
}
