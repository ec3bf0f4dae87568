// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"io"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/examples/scheduler/internal/scheduler"
	"github.com/executorpods/watchsource/watchtest"
)

// With -ui the scheduler prints no lines while the screen is there, and the summary after
// the user has closed it. The screen has the complete view of the application.
func TestScreen(t *testing.T) {
	var stdout, stderr strings.Builder
	shown := false
	views := scheduler.Views{Screen: func(ctx context.Context, appID, namespace string, source *watchsource.WatchSnapshotSource, store *watchsource.Store) error {
		view, err := store.WaitFor(ctx, func(s watchsource.Snapshot) bool { return s.Count(watchsource.Running) > 0 })
		shown = view.Complete() && appID == "spark-ui" && namespace == "default" && source.Status().AppID == appID
		return err // the user quits
	}}
	code := scheduler.Run(t.Context(), strings.Fields("-ui -app spark-ui -executors 2"), &stdout, &stderr, views)
	if code != 0 || stderr.String() != "" || !shown {
		t.Fatalf("code %d, %q on stderr, shown %v; want 0, nothing, true", code, stderr.String(), shown)
	}
	if got := stdout.String(); !strings.Contains(got, "summary") || strings.Contains(got, "created executors") || strings.Contains(got, "runs on") {
		t.Errorf("got\n%s\nwant the summary, and no line of the time of the screen", got)
	}
}

func TestMetrics(t *testing.T) {
	store := watchsource.NewStore()
	source := watchsource.NewWatchSnapshotSource(store, watchtest.NewServer().Client())
	if err := source.Start("app-1"); err != nil {
		t.Fatal(err)
	}
	defer source.Stop()
	response := httptest.NewRecorder()
	metricsHandler(source, store).ServeHTTP(response, httptest.NewRequest("GET", "/metrics", nil))
	body, err := io.ReadAll(response.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`watchsource_executors{state="Running"} 0`, "watchsource_watching 1", "watchsource_lists_total 1"} {
		if !strings.Contains(string(body), want) {
			t.Errorf("/metrics has no %q:\n%s", want, body)
		}
	}
}

// Without a terminal there is no screen, and the scheduler says so after it has cleaned up.
func TestScreenNeedsATerminal(t *testing.T) {
	var stdout, stderr strings.Builder
	code := scheduler.Run(t.Context(), strings.Fields("-ui -executors 1"), &stdout, &stderr, scheduler.Views{Screen: showScreen})
	if code != 1 || !strings.Contains(stderr.String(), "not a terminal") || !strings.Contains(stdout.String(), "left behind             0") {
		t.Errorf("code %d, %q on stderr and %q on stdout; want 1, the reason and a summary", code, stderr.String(), stdout.String())
	}
}
