// SPDX-License-Identifier: Apache-2.0

package modeltest

import (
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/podtest"
	"github.com/executorpods/watchsource/watchtest"
)

// TestListsThatTheSourceMayMake checks that the responseMonitor allows as many lists as the
var (
	badRequest = watchtest.Answer(apierrors.NewBadRequest("not this version"))
	forbidden  = watchtest.Answer(apierrors.NewForbidden(corev1.Resource("pods"), "", errors.New("RBAC")))
)

// allowedLists has faults, and how many lists the source may make after them.
var allowedLists = []struct {
	name   string
	faults []watchtest.Fault // of the requests after the first stream
	gone   bool              // the version of the first stream has been compacted
	lists  int
}{
	{name: "one silent stream", faults: []watchtest.Fault{
		{On: watchtest.Watch, Times: 1, Do: watchtest.Silence()},
	}},
	{name: "two silent streams", lists: 1, faults: []watchtest.Fault{
		{On: watchtest.Watch, Times: 2, Do: watchtest.Silence()},
	}},
	{name: "a refusal with a silent body, and a silent stream", lists: 1, faults: []watchtest.Fault{
		{On: watchtest.Watch, Times: 2, Do: watchtest.Silence()},
		{On: watchtest.Watch, Times: 1, Do: forbidden},
	}},
	{name: "two refusals", faults: []watchtest.Fault{
		{On: watchtest.Watch, Times: 2, Do: badRequest},
	}},
	{name: "three refusals", lists: 1, faults: []watchtest.Fault{
		{On: watchtest.Watch, Times: 3, Do: badRequest},
	}},
	{name: "a stream between refusals", faults: []watchtest.Fault{
		{On: watchtest.Watch, Times: 2, Do: badRequest},
		{On: watchtest.Watch, Times: 1, After: 1, Do: watchtest.Cut()},
		{On: watchtest.Watch, Skip: 1, Times: 1, Do: badRequest},
	}},
	{name: "a check without an answer between refusals", lists: 1, faults: []watchtest.Fault{
		{On: watchtest.Watch, Times: 2, Do: badRequest},
		{On: watchtest.Watch, Times: 1, Do: watchtest.Silence()},
		{On: watchtest.Watch, Skip: 1, Times: 1, Do: badRequest},
		{On: watchtest.List, Times: 1, Do: watchtest.Refuse()},
	}},
	{name: "three empty streams", faults: []watchtest.Fault{
		{On: watchtest.Watch, Times: 3, Do: watchtest.Cut()},
	}},
	{name: "four empty streams", lists: 1, faults: []watchtest.Fault{
		{On: watchtest.Watch, Times: 4, Do: watchtest.Cut()},
	}},
	{name: "an empty stream that the client closes at the time of the check before it", lists: 1, faults: []watchtest.Fault{
		{On: watchtest.Watch, Times: 3, Do: watchtest.Cut()},
		{On: watchtest.Watch, Skip: 3, Times: 1, Do: watchtest.SendRaw([]byte("<html>"))},
	}},
	{name: "incomplete streaming lists between refusals", gone: true, lists: 2, faults: []watchtest.Fault{
		{On: watchtest.StreamingList, Times: 3, Do: watchtest.OmitInitialEventsEnd()},
		{On: watchtest.StreamingList, Times: 3, Do: watchtest.Limit(2*time.Second, watchtest.Cut())},
		{On: watchtest.List, Times: 2, Do: badRequest},
		{On: watchtest.Watch, Skip: 1, Times: 1, Do: badRequest},
	}},
}

// source makes by its rules in a script of faults, and not one more.
func TestListsThatTheSourceMayMake(t *testing.T) {
	for _, test := range allowedLists {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := watchtest.NewServer(watchtest.WithBookmarkInterval(time.Minute))
				source, monitor := monitored(t, server)
				if err := source.Start(podtest.App); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				if test.gone {
					server.Advance(1)
					server.Compact()
				}
				for _, fault := range test.faults {
					server.Inject(fault)
				}
				server.Strike(watchtest.Reset())
				time.Sleep(9 * time.Minute)
				server.Strike(watchtest.Reset())
				time.Sleep(time.Second)
				server.Create(podtest.Pod("1")) // the last stream is resumed, and not silent
				time.Sleep(time.Second)
				source.Stop()
				if n := source.Status().Relists; n != test.lists {
					t.Errorf("%d relists, want %d", n, test.lists)
				}
				if n := monitor.allowedLists(); n != test.lists {
					t.Errorf("%d lists are allowed, want %d", n, test.lists)
				}
				if t.Failed() {
					t.Logf("\n%v", monitor.trace)
				}
			})
		})
	}
}

// monitored returns a source of a server, and the monitor of its responses.
func monitored(t *testing.T, server *watchtest.Server) (*watchsource.WatchSnapshotSource, *responseMonitor) {
	t.Helper()
	var source *watchsource.WatchSnapshotSource
	monitor := &responseMonitor{
		trace:         &trace{began: time.Now()},
		sourceVersion: func() string { return source.Status().ResourceVersion },
	}
	config := server.Config()
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		monitor.next = next
		return monitor
	})
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	source = watchsource.NewWatchSnapshotSource(watchsource.NewStore(), client, watchsource.WithLogger(logr.Discard()))
	return source, monitor
}

// TestSessionWithoutAVersion checks that the responseMonitor counts a watch after which the
// source has no version yet.
func TestSessionWithoutAVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer(watchtest.WithoutStreamingLists())
		server.Inject(watchtest.Fault{On: watchtest.Watch, Times: 1, Do: watchtest.Answer(apierrors.NewTooManyRequests("later", 1))})
		source, monitor := monitored(t, server)
		if err := source.Start(podtest.App); err != nil {
			t.Fatal(err)
		}
		source.Stop()
		if n := monitor.allowedLists(); n != 0 {
			t.Errorf("%d lists are allowed, want none", n)
		}
	})
}
