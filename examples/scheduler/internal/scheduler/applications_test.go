// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/watchtest"
)

// Three applications run on one watch, which the server saw once. Each replaces its own executors,
// its lines have its id, and its summary is in one piece.
func TestApplicationsShareAWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRun(t)
		r.config.work = demoWork
		server := watchtest.NewServer()
		r.runSeveral(t, server, demoLifecycle)
		if r.err != nil {
			t.Error(r.err)
		}
		if n := server.Count(watchtest.Watch | watchtest.StreamingList | watchtest.List); n != 1 {
			t.Errorf("%d requests to list and watch, want 1", n)
		}
		r.cleanedUp(t)
		for _, id := range []string{"spark-test-1 ", "spark-test-2 ", "spark-test-3 "} {
			r.wantLines(t,
				"3 applications want 5 executors each in namespace default on an embedded cluster",
				id+"created executors 1 to 5",
				id+"all 5 executors are up",
				id+"executor 2 failed on node-",
				id+"executor 10 runs on node-",
				id+"the application has done its work",
				id+"summary",
				"executors created 10",
				"one watch for 3 applications: Stopped; events ")
		}
		_, summary, _ := strings.Cut(r.out.String(), "summary\n")
		if rows := strings.Split(summary, "\n")[:8]; !strings.Contains(rows[0], "executors created") || !strings.Contains(rows[7], "the watch") {
			t.Errorf("the first summary is not in one piece: %q", rows)
		}
	})
}

// An application that gives up stops no other, and the error names it.
func TestApplicationsAreIndependent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRun(t)
		r.config.maxFailures = 0
		r.runSeveral(t, watchtest.NewServer(), func(pod *corev1.Pod) watchtest.Lifecycle {
			if pod.Labels[watchsource.LabelApp] == "spark-test-2" {
				return watchtest.Lifecycle{RunFor: time.Second, ExitCode: 52}
			}
			return watchtest.Lifecycle{}
		})
		if !errors.Is(r.err, errTooManyFailures) || !strings.HasPrefix(r.err.Error(), "application spark-test-2: giving up: ") {
			t.Errorf("error = %v", r.err)
		}
		r.cleanedUp(t)
		r.wantLines(t, "spark-test-2 too many executors have failed", "spark-test-1 the application has done its work")
		r.wantLines(t, "spark-test-2 too many executors have failed", "spark-test-3 the application has done its work")
	})
}

// If the watch cannot start, there is one error, not one for each application.
func TestApplicationsWithoutPermission(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRun(t)
		server := watchtest.NewServer()
		server.Inject(watchtest.Fault{Do: watchtest.Answer(
			apierrors.NewForbidden(corev1.Resource("pods"), "", errors.New("User \"spark\" cannot list resource \"pods\"")))})
		r.runSeveral(t, server, nil)
		if !apierrors.IsForbidden(r.err) || strings.Contains(r.err.Error(), "\n") {
			t.Errorf("error = %v, want one line", r.err)
		}
	})
}

// Ctrl-C ends all of them, and they delete their pods.
func TestApplicationsAreInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRun(t)
		ctx, interrupt := context.WithCancel(r.ctx)
		defer time.AfterFunc(3*time.Second, interrupt).Stop()
		r.ctx = ctx
		r.runSeveral(t, watchtest.NewServer(), nil)
		if r.err != nil {
			t.Error(r.err)
		}
		r.cleanedUp(t)
		for _, id := range []string{"spark-test-1", "spark-test-2", "spark-test-3"} {
			r.wantLines(t, id+" asked to stop", id+" deleting the 5 pods that are left")
		}
	})
}

// The liveness probe asks the watch, and no source.
func TestHealthzOfASharedWatch(t *testing.T) {
	shared := watchsource.NewSharedWatch(watchtest.NewServer().Client())
	ask := func() int {
		response := httptest.NewRecorder()
		newHandler(shared, nil).ServeHTTP(response, httptest.NewRequest("GET", "/healthz", nil))
		return response.Code
	}
	if code := ask(); code != http.StatusServiceUnavailable {
		t.Errorf("before Start: %d, want 503", code)
	}
	source := shared.Source(watchsource.NewStore())
	if err := source.Start("spark-test"); err != nil {
		t.Fatal(err)
	}
	defer source.Stop()
	if code := ask(); code != http.StatusOK {
		t.Errorf("after Start: %d, want 200", code)
	}
}

// runSeveral is run for three applications.
func (r *run) runSeveral(t *testing.T, server *watchtest.Server, lifecycle func(*corev1.Pod) watchtest.Lifecycle) {
	t.Helper()
	r.config.apps = 3
	cluster := embeddedCluster(r.config, server, lifecycle)
	defer cluster.close()
	r.err = runApplications(r.ctx, r.config, cluster, newReport(&r.out))
	r.left = server.List("")
	if t.Failed() || testing.Verbose() {
		t.Logf("error %v, report:\n%s", r.err, r.out.String())
	}
}
