// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/executorpods/watchsource/examples/scheduler/internal/embedded"
	"github.com/executorpods/watchsource/watchtest"
)

func testConfig() config {
	return config{
		appID:       "spark-test",
		executors:   5,
		runFor:      8 * time.Second,
		maxFailures: 10,
		image:       "busybox",
		namespace:   "default",
		work:        func(int) work { return work{} },
	}
}

// run is one application on an embedded cluster of its own. It must be made in
// a bubble, and then takes no time.
type run struct {
	config   config
	troubles embedded.Troubles
	prepare  func(*watchtest.Server) // before the application starts
	ctx      context.Context

	server *watchtest.Server
	out    strings.Builder
	err    error
}

func newRun(t *testing.T) *run {
	return &run{config: testConfig(), prepare: func(*watchtest.Server) {}, ctx: t.Context()}
}

func (r *run) run(t *testing.T) {
	t.Helper()
	simulated := embedded.New(r.troubles)
	r.server = simulated.Server()
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { simulated.Run(ctx) })
	defer running.Wait()
	defer stop()
	synctest.Wait() // the kubelet watches
	r.prepare(r.server)
	r.err = newScheduler(r.config, simulated.Client(), newAccount(&r.out)).run(r.ctx)
	if t.Failed() || testing.Verbose() {
		t.Logf("error %v, account:\n%s", r.err, r.out.String())
	}
}

func (r *run) succeeded(t *testing.T) {
	t.Helper()
	if r.err != nil {
		t.Error(r.err)
	}
	r.cleanedUp(t)
}

func (r *run) cleanedUp(t *testing.T) {
	t.Helper()
	if left := r.server.List(""); len(left) > 0 {
		t.Errorf("%d pods are left in the cluster, the first is %s", len(left), left[0].Name)
	}
}

// stage is a scheduler whose pods are in the hands of the test.
type stage struct {
	*scheduler
	server *watchtest.Server
	out    strings.Builder
}

// newStage starts to watch. Nothing is decided before begin.
func newStage(t *testing.T, executors int) *stage {
	t.Helper()
	s := &stage{server: watchtest.NewServer()}
	c := testConfig()
	c.executors = executors
	s.scheduler = newScheduler(c, s.server.Client(), newAccount(&s.out))
	if err := s.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.source.Stop)
	return s
}

func (s *stage) begin(t *testing.T) {
	var group sync.WaitGroup
	group.Go(func() { _ = s.lifecycle.run(t.Context(), s.store, s.wake) })
	group.Go(func() { s.tend(t.Context()) })
	t.Cleanup(group.Wait)
	s.wait()
}

// wait lets the scheduler look at everything more than twice.
func (s *stage) wait() {
	time.Sleep(3 * tickInterval)
	synctest.Wait()
}

// update is what a kubelet says of an executor.
func (s *stage) update(executorID int, change func(*corev1.Pod)) {
	s.server.Update("default", podName("spark-test", executorID), change)
}

func (s *stage) delete(executorID int) {
	s.server.Delete("default", podName("spark-test", executorID))
}

func (s *stage) told(t *testing.T, lines ...string) {
	t.Helper()
	told(t, s.out.String(), lines...)
}

// asked fails the test unless there have been so many requests.
func (s *stage) asked(t *testing.T, verb watchtest.Verb, want int) {
	t.Helper()
	if got := s.server.Count(verb); got != want {
		t.Errorf("%d requests to %v, want %d; account:\n%s", got, verb, want, s.out.String())
	}
}

func (s *stage) lost(t *testing.T, outcome outcome, want int) {
	t.Helper()
	if got := s.account.ends[outcome]; got != want {
		t.Errorf("%d executors lost as %v, want %d; account:\n%s", got, outcome, want, s.out.String())
	}
}

func runs(pod *corev1.Pod) {
	pod.Spec.NodeName = "node-1"
	pod.Status.Phase = corev1.PodRunning
}

func fails(exitCode int32) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		pod.Status.Phase = corev1.PodFailed
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{terminated(executorContainer, exitCode)}
	}
}

func terminated(container string, exitCode int32) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: container, State: corev1.ContainerState{
		Terminated: &corev1.ContainerStateTerminated{ExitCode: exitCode, Reason: "Error"},
	}}
}

func (r *run) told(t *testing.T, lines ...string) {
	t.Helper()
	told(t, r.out.String(), lines...)
}

func (r *run) count(prefix string) int {
	n := 0
	for _, line := range linesOf(r.out.String()) {
		if strings.HasPrefix(line, prefix) {
			n++
		}
	}
	return n
}

// told fails the test unless the account has these lines, in this order,
// whatever the clock before them says. A line need only begin so.
func told(t *testing.T, account string, lines ...string) {
	t.Helper()
	rest := linesOf(account)
	for _, want := range lines {
		found := false
		for len(rest) > 0 && !found {
			found = strings.HasPrefix(rest[0], want)
			rest = rest[1:]
		}
		if !found {
			t.Errorf("the account lacks %q, or has it too early:\n%s", want, account)
			return
		}
	}
}

// linesOf are those of an account, without the clock and repeated blanks.
func linesOf(account string) []string {
	var lines []string
	for line := range strings.Lines(account) {
		words := strings.Fields(line)
		if !strings.HasPrefix(line, "        ") {
			words = words[1:]
		}
		lines = append(lines, strings.Join(words, " "))
	}
	return lines
}
