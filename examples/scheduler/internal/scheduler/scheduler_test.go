// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/watchtest"
)

// run is one application on its own embedded cluster. It must be made in a bubble.
type run struct {
	config    config
	lifecycle func(*corev1.Pod) watchtest.Lifecycle // nil for what the annotations say
	prepare   func(*watchtest.Server)               // before the application starts
	ctx       context.Context

	out  strings.Builder
	err  error
	left []corev1.Pod // the pods in the cluster after the end of the application
}

func newRun(t *testing.T) *run {
	return &run{
		config: config{
			appID:       "spark-test",
			executors:   5,
			runFor:      8 * time.Second,
			maxFailures: 10,
			image:       "busybox",
			namespace:   "default",
			work:        func(int) work { return work{} },
		},
		prepare: func(*watchtest.Server) {},
		ctx:     t.Context(),
	}
}

func (r *run) run(t *testing.T) {
	t.Helper()
	server := watchtest.NewServer()
	r.prepare(server)
	cluster := embeddedCluster(r.config, server, r.lifecycle)
	defer cluster.close()
	r.err = runApplication(r.ctx, r.config, cluster.client, newReport(&r.out))
	r.left = server.List("")
	if t.Failed() || testing.Verbose() {
		t.Logf("error %v, report:\n%s", r.err, r.out.String())
	}
}

// wantLines fails the test unless the report has these lines, in this order, possibly with
// others in between.
func (r *run) wantLines(t *testing.T, lines ...string) {
	t.Helper()
	rest := r.lines()
	for _, want := range lines {
		found := false
		for len(rest) > 0 && !found {
			found = strings.HasPrefix(rest[0], want)
			rest = rest[1:]
		}
		if !found {
			t.Errorf("the report lacks %q, or has it too early:\n%s", want, r.out.String())
			return
		}
	}
}

// lines returns the lines of the report without the clock and repeated blanks.
func (r *run) lines() []string {
	var lines []string
	for line := range strings.Lines(r.out.String()) {
		words := strings.Fields(line)
		if !strings.HasPrefix(line, "        ") {
			words = words[1:]
		}
		lines = append(lines, strings.Join(words, " "))
	}
	return lines
}

func (r *run) count(prefix string) int {
	n := 0
	for _, line := range r.lines() {
		if strings.HasPrefix(line, prefix) {
			n++
		}
	}
	return n
}

func (r *run) cleanedUp(t *testing.T) {
	t.Helper()
	if len(r.left) > 0 {
		t.Errorf("%d pods are left in the cluster, want none; the first is %s", len(r.left), r.left[0].Name)
	}
}

// The README shows the output of this run.
func TestDemo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRun(t)
		r.config.work, r.lifecycle = demoWork, demoLifecycle
		start := time.Now()
		r.run(t)
		if r.err != nil {
			t.Error(r.err)
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("took %v, want at most 10s", took)
		}
		r.cleanedUp(t)
		r.wantLines(t,
			"created executors 1 to 5",
			"all 5 executors are up",
			"executor 2 failed on node-", // the node depends on the order of the pods
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
			"replaced 5",
			"left behind 0",
			"the watch Watching; events ",
		)
		for _, end := range []string{
			": exit code 1 (Error); replacing it by executor 6\n",
			": exit code 137 (OOMKilled); replacing it by executor 7\n",
			" by somebody else; replacing it by executor 8\n",
			": Evicted: The node was low on resource: memory; replacing it by executor 9\n",
			", without an error; replacing it by executor 10\n",
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
			t.Fatalf("error = %v, want %v", r.err, errTooManyFailures)
		}
		if got, want := r.err.Error(), "giving up: 4 executors have failed and -max-failures is 3; the last was executor 8: exit code 52 (Error)"; got != want {
			t.Errorf("error = %q, want %q", got, want)
		}
		r.cleanedUp(t)
		r.wantLines(t, "executor 8 failed on node-", "too many executors have failed", "deleting the ", "failed 4: 4 x exit code 52 (Error)", "replaced 3")
	})
}

func TestSaysWhatToDoWhenStartIsForbidden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRun(t)
		server := watchtest.NewServer()
		server.Inject(watchtest.Fault{Do: watchtest.Answer(
			apierrors.NewForbidden(corev1.Resource("pods"), "", errors.New("User \"spark\" cannot list resource \"pods\"")))})
		err := runApplication(r.ctx, r.config, server.Client(), newReport(&r.out))
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "grant the verbs list and watch on the resource pods with a Role in namespace \"default\"") {
			t.Errorf("error = %v", err)
		}
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("error is more than a line: %q", err)
		}
		if r.out.Len() > 0 {
			t.Errorf("unexpected report:\n%s", r.out.String())
		}
	})
}

func TestReportsAnImageThatCannotBePulled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRun(t)
		r.config.executors = 2
		r.config.image = "registry.example/nowhere"
		r.lifecycle = func(pod *corev1.Pod) watchtest.Lifecycle {
			if pod.Labels[watchsource.LabelExecutorID] == "2" {
				return watchtest.Lifecycle{PullFailsFor: time.Hour}
			}
			return watchtest.Lifecycle{}
		}
		r.run(t)
		want := "only 1 of 2 executors came up within 1m0s; the others wait: ImagePullBackOff"
		if r.err == nil || r.err.Error() != want {
			t.Errorf("error = %v, want %q", r.err, want)
		}
		r.cleanedUp(t)
		r.wantLines(t, "executor 2 cannot start yet: ErrImagePull", "executor 1 runs", "deleting the 2 pods that are left", "executors created 2")
		if n := r.count("executor 2 cannot start yet"); n != 1 {
			t.Errorf("reported %d times, want 1", n)
		}
	})
}

func TestCleansUpWhenAskedToStop(t *testing.T) {
	for _, tt := range []struct {
		name  string
		after time.Duration
	}{
		{name: "before the executors are up", after: 100 * time.Millisecond},
		{name: "while the application works", after: 5 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRun(t)
				ctx, interrupt := context.WithCancel(r.ctx)
				defer time.AfterFunc(tt.after, interrupt).Stop()
				r.ctx = ctx
				r.run(t)
				if r.err != nil {
					t.Error(r.err)
				}
				r.cleanedUp(t)
				r.wantLines(t, "created executors 1 to 5", "asked to stop", "deleting the 5 pods", "executors created 5", "failed 0", "left behind 0")
			})
		})
	}
}

func TestStopsWhileStartWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRun(t)
		ctx, interrupt := context.WithCancel(r.ctx)
		r.ctx = ctx
		server := watchtest.NewServer()
		server.Inject(watchtest.Fault{Do: watchtest.Answer(apierrors.NewTooManyRequests("later", 1))})
		defer time.AfterFunc(3*time.Second, interrupt).Stop()
		start := time.Now()
		err := runApplication(r.ctx, r.config, server.Client(), newReport(&r.out))
		if err == nil || time.Since(start) > 5*time.Second {
			t.Errorf("error = %v after %v, want an error within 5s", err, time.Since(start))
		}
	})
}

// A refusal is reported once and does not end the run. The ticker tries again.
func TestTriesAgainWhenACreationIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRun(t)
		r.prepare = func(server *watchtest.Server) {
			lift := server.Inject(watchtest.Fault{On: watchtest.Create, Do: watchtest.Answer(
				apierrors.NewForbidden(corev1.Resource("pods"), "", errors.New("exceeded quota")))})
			time.AfterFunc(3500*time.Millisecond, lift)
		}
		r.run(t)
		if r.err != nil {
			t.Error(r.err)
		}
		r.cleanedUp(t)
		r.wantLines(t, "could not create an executor, trying again", "created executors 1 to 5", "all 5 executors are up", "executors created 5")
		if n := r.count("could not create an executor"); n != 1 {
			t.Errorf("the same refusal was reported %d times, want 1", n)
		}
	})
}

// If the answer to a creation is lost, the scheduler does not create a second pod.
func TestDoesNotRepeatACreationWhoseAnswerWasLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRun(t)
		r.prepare = func(server *watchtest.Server) {
			server.Inject(watchtest.Fault{On: watchtest.Create, Times: 1, After: 1, Do: watchtest.Answer(
				apierrors.NewInternalError(errors.New("the answer is lost")))})
		}
		r.run(t)
		if r.err != nil {
			t.Error(r.err)
		}
		r.cleanedUp(t)
		r.wantLines(t, "could not create an executor, trying again", "all 5 executors are up")
		if strings.Contains(r.out.String(), "executor 6") {
			t.Error("there is one executor too many")
		}
	})
}

func TestAdoptsTheExecutorsOfAnEarlierRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRun(t)
		r.config.executors = 3
		r.prepare = func(server *watchtest.Server) {
			for _, id := range []int{4, 7} {
				server.Create(executorPod(r.config, id))
			}
			ended := executorPod(r.config, 9)
			ended.Status.Phase = corev1.PodFailed
			server.Create(ended)
		}
		r.run(t)
		if r.err != nil {
			t.Error(r.err)
		}
		r.cleanedUp(t)
		r.wantLines(t,
			"executor 4 is there already and is kept",
			"executor 7 is there already and is kept",
			"executor 9 is there already and has ended",
			"created executor 10",
			"deleting the 3 pods that are left",
			"executors created 1",
			"found and kept 2",
			"failed 0",
			"replaced 0")
	})
}

// A pod can disappear without any earlier change, for example if a node is lost and its pods
// are deleted by force.
func TestReplacesAnExecutorThatVanishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRun(t)
		r.prepare = func(server *watchtest.Server) {
			time.AfterFunc(4*time.Second, func() { server.Delete("default", podName("spark-test", 3)) })
		}
		r.run(t)
		if r.err != nil {
			t.Error(r.err)
		}
		r.cleanedUp(t)
		r.wantLines(t, "executor 3 vanished on node-", "executor 6 runs on node-", "failed 0", "deleted by others 1", "replaced 1")
	})
}

// Changes during an interruption of the watch are reported after it, and no executor is
// created twice.
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
					On: watchtest.Watch | watchtest.StreamingList | watchtest.List,
					Do: watchtest.Answer(apierrors.NewServiceUnavailable("out of order")),
				})
				server.Strike(watchtest.Cut())
				server.Delete("default", podName("spark-test", 3))
				time.AfterFunc(3500*time.Millisecond, func() {
					server.Compact() // the changes since cannot be delivered
					lift()
				})
			})
		}
		r.config.runFor = time.Minute // longer than the longest delay between two attempts
		r.run(t)
		if r.err != nil {
			t.Error(r.err)
		}
		r.cleanedUp(t)
		r.wantLines(t,
			"all 5 executors are up",
			"lost sight of the cluster, trying again",
			"sees the cluster again",
			"executors created 7", "failed 1", "deleted by others 1", "replaced 2", "left behind 0")
		if !strings.Contains(r.out.String(), "executor 3 vanished on ") || !strings.Contains(r.out.String(), "executor 2 failed on ") {
			t.Error("the report lacks the changes during the interruption")
		}
	})
}
