// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/executorpods/watchsource/examples/scheduler/internal/embedded"
	"github.com/executorpods/watchsource/watchtest"
)

// The run that the README shows.
func TestDemo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRun(t)
		r.config.work, r.troubles = demoWork, demoTroubles()
		start := time.Now()
		r.run(t)
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("took %v", took)
		}
		r.succeeded(t)
		r.told(t,
			"created executors 1 to 5",
			"all 5 executors are up",
			"executor 2 failed on node-", // which node depends on who came first
			"created executor 6",         // after the end that it makes up for
			"executor 6 runs on node-",
			"executor 4 failed on node-",
			"executor 7 cannot start yet: ErrImagePull: failed to pull image \"busybox\": the registry does not answer",
			"executor 5 is being deleted on node-",
			"executor 7 runs on node-",
			"executor 1 failed on node-",
			"executor 6 ended by itself on node-",
			"executor 10 runs on node-",
			"the application has done its work",
			"deleting the 5 pods that are left",
			"summary",
			"executors created 10",
			"found and kept 0",
			"failed 3: 1 x Evicted, 1 x exit code 1 (Error), 1 x exit code 137 (OOMKilled)",
			"ended by themselves 1",
			"deleted by others 1",
			"missing 0",
			"left behind 0",
			"the watch Watching; events ",
		)
		for _, end := range []string{
			": exit code 1 (Error)\n",
			": exit code 137 (OOMKilled)\n",
			" by somebody else\n",
			": Evicted: The node was low on resource: memory\n",
			", without an error\n",
		} {
			if !strings.Contains(r.out.String(), end) {
				t.Errorf("no line ends with %q", end)
			}
		}
	})
}

func TestGivesUpAfterTooManyFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRun(t)
		r.config.maxFailures = 3
		r.config.work = func(id int) work {
			if id%2 == 0 {
				return work{runFor: 2 * time.Second, exitCode: 52}
			}
			return work{}
		}
		r.run(t)
		if !errors.Is(r.err, errTooManyFailures) {
			t.Fatalf("error = %v", r.err)
		}
		if got, want := r.err.Error(), "giving up: 4 executors have failed and -max-failures is 3; the last was executor 8: exit code 52 (Error)"; got != want {
			t.Errorf("error = %q, want %q", got, want)
		}
		r.cleanedUp(t)
		r.told(t, "executor 8 failed on node-", "too many executors have failed", "deleting the ", "failed 4: 4 x exit code 52 (Error)")
	})
}

func TestSaysWhatToDoWhenStartIsForbidden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		server.Inject(watchtest.Fault{
			Do: watchtest.Answer(apierrors.NewForbidden(corev1.Resource("pods"), "", errors.New("User \"spark\" cannot list resource \"pods\""))),
		})
		var out strings.Builder
		err := newScheduler(testConfig(), server.Client(), newAccount(&out)).run(t.Context())
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "grant the verbs list and watch on the resource pods by a Role in namespace \"default\"") {
			t.Errorf("error = %v", err)
		}
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("error is more than a line: %q", err)
		}
		if out.Len() > 0 {
			t.Errorf("unexpected account:\n%s", out.String())
		}
	})
}

func TestReportsAnImageThatCannotBePulled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRun(t)
		r.config.executors = 2
		r.config.image = "registry.example/nowhere"
		r.troubles = embedded.Troubles{"2": {PullFailsFor: time.Hour}}
		r.run(t)
		want := "only 1 of 2 executors came up within 1m0s; the others wait: ImagePullBackOff"
		if r.err == nil || r.err.Error() != want {
			t.Errorf("error = %v, want %q", r.err, want)
		}
		r.cleanedUp(t)
		r.told(t, "executor 2 cannot start yet: ErrImagePull", "executor 1 runs", "deleting the 2 pods that are left", "executors created 2")
		if n := r.count("executor 2 cannot start yet"); n != 1 {
			t.Errorf("reported %d times", n)
		}
	})
}

func TestCleansUpWhenAskedToStop(t *testing.T) {
	for _, tt := range []struct {
		name  string
		after time.Duration
	}{
		{"before the executors are up", 100 * time.Millisecond},
		{"while the application works", 5 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRun(t)
				ctx, interrupt := context.WithCancel(r.ctx)
				defer time.AfterFunc(tt.after, interrupt).Stop()
				r.ctx = ctx
				r.run(t)
				r.succeeded(t)
				r.told(t, "created executors 1 to 5", "asked to stop", "deleting the 5 pods", "executors created 5", "failed 0", "left behind 0")
			})
		})
	}
}

func TestStopsWhileStartWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, interrupt := context.WithCancel(t.Context())
		server := watchtest.NewServer()
		server.Inject(watchtest.Fault{Do: watchtest.Answer(apierrors.NewTooManyRequests("later", 1))})
		defer time.AfterFunc(3*time.Second, interrupt).Stop()
		start := time.Now()
		var out strings.Builder
		err := newScheduler(testConfig(), server.Client(), newAccount(&out)).run(ctx)
		if err == nil || time.Since(start) > 5*time.Second {
			t.Errorf("error = %v after %v", err, time.Since(start))
		}
	})
}

// A refusal is told once, and does not end the run; the ticker tries again
// although no event comes that could wake the scheduler.
func TestTriesAgainWhenACreationIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRun(t)
		r.prepare = func(server *watchtest.Server) {
			lift := server.Inject(watchtest.Fault{
				On: watchtest.Create,
				Do: watchtest.Answer(apierrors.NewForbidden(corev1.Resource("pods"), "", errors.New("exceeded quota"))),
			})
			time.AfterFunc(3500*time.Millisecond, lift)
		}
		r.run(t)
		r.succeeded(t)
		r.told(t, "could not create an executor, trying again", "created executors 1 to 5", "all 5 executors are up", "executors created 5", "missing 0")
		if n := r.count("could not create an executor"); n != 1 {
			t.Errorf("told %d times of the same refusal", n)
		}
	})
}

func TestAdoptsTheExecutorsOfAnEarlierRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRun(t)
		r.config.executors = 3
		r.prepare = func(server *watchtest.Server) {
			server.Create(executorPod(r.config, 4))
			server.Create(executorPod(r.config, 7))
			ended := executorPod(r.config, 9)
			ended.Status.Phase = corev1.PodFailed
			server.Create(ended)
		}
		r.run(t)
		r.succeeded(t)
		r.told(t,
			"executor 4 is there already and is kept",
			"executor 7 is there already and is kept",
			"created executor 10",
			"deleting the 3 pods that are left",
			"executors created 1",
			"found and kept 2",
			"failed 0")
	})
}

// A pod that disappears without a farewell, as when a node is lost and its pods
// are deleted by force.
func TestReplacesAnExecutorThatIsDeletedByForce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRun(t)
		r.prepare = func(server *watchtest.Server) {
			time.AfterFunc(4*time.Second, func() { server.Delete("default", podName("spark-test", 3)) })
		}
		r.run(t)
		r.succeeded(t)
		r.told(t, "executor 3 is gone on node-", "created executor 6", "executor 6 runs on node-", "failed 0", "deleted by others 1", "missing 0")
	})
}

// What happens while the watch is broken is told when it is back, and nobody is
// replaced twice.
func TestSurvivesTheLossOfItsWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRun(t)
		r.config.work = func(id int) work {
			if id == 2 {
				return work{runFor: 3 * time.Second, exitCode: 1}
			}
			return work{}
		}
		r.prepare = func(server *watchtest.Server) {
			time.AfterFunc(2500*time.Millisecond, func() {
				lift := server.Inject(watchtest.Fault{
					On: watchtest.List | watchtest.Watch | watchtest.StreamingList,
					Do: watchtest.Answer(apierrors.NewServiceUnavailable("out of order")),
				})
				time.AfterFunc(3500*time.Millisecond, lift)
				server.Strike(watchtest.Cut())
				server.Delete("default", podName("spark-test", 3))
			})
		}
		r.config.runFor = time.Minute // more than the library ever waits between two attempts
		r.run(t)
		r.succeeded(t)
		r.told(t,
			"all 5 executors are up",
			"lost sight of the cluster, trying again",
			"sees the cluster again",
			"executors created 7", "failed 1", "deleted by others 1", "missing 0", "left behind 0")
		if !strings.Contains(r.out.String(), "executor 3 is gone on ") || !strings.Contains(r.out.String(), "executor 2 failed on ") {
			t.Error("what happened in between is not told")
		}
	})
}

// The end of the last executor that was created need not have come into view
// when the application ends.
func TestDeletesAlsoWhatItHasNotSeenYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, 1)
		lift := s.server.Strike(watchtest.Silence())
		s.allocation.fill(t.Context(), s.store.Snapshot())
		time.AfterFunc(seenTimeout-time.Second, lift)

		s.stop()
		if left := s.server.List(""); len(left) > 0 {
			t.Errorf("%s is left", left[0].Name)
		}
		s.told(t, "created executor 1", "deleting the 1 pods that are left")
	})
}
