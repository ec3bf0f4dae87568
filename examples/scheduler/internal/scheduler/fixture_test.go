// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/executorpods/watchsource/watchtest"
)

// fixture is a scheduler without a kubelet. The test itself changes the pods.
type fixture struct {
	*schedulerBackend
	server *watchtest.Server
	out    *strings.Builder
}

// newFixture returns a scheduler that watches. It does not react to changes before begin.
func newFixture(t *testing.T, executors int) *fixture {
	t.Helper()
	server, out := watchtest.NewServer(), new(strings.Builder)
	c := config{appID: "spark-test", executors: executors, maxFailures: 10, namespace: "default", work: demoWork}
	b := clusterManager{config: c, client: server.Client(), report: newReport(out)}.createBackend()
	if err := b.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.source.Stop)
	return &fixture{schedulerBackend: b, server: server, out: out}
}

// begin runs react until the test ends.
func (s *fixture) begin(t *testing.T) {
	var reacting sync.WaitGroup
	reacting.Go(func() { _ = s.react(t.Context()) })
	t.Cleanup(reacting.Wait)
	s.wait(2 * tickInterval)
}

// wait lets time pass and the scheduler react.
func (s *fixture) wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// update changes the pod of an executor, as a kubelet does, and lets the scheduler react.
func (s *fixture) update(executorID int, change func(*corev1.Pod)) {
	s.server.Update("default", podName("spark-test", executorID), change)
	s.wait(2 * batchInterval)
}

func (s *fixture) delete(executorID int) {
	s.server.Delete("default", podName("spark-test", executorID))
}

// wantEnds fails the test unless the given number of executors ended with the outcome.
func (s *fixture) wantEnds(t *testing.T, how outcome, want int) {
	t.Helper()
	if got := s.report.ends[how]; got != want {
		t.Errorf("%d ends of kind %d, want %d; report:\n%s", got, how, want, s.out)
	}
}

// wantRequests fails the test unless the server has received the given number of requests.
func (s *fixture) wantRequests(t *testing.T, verb watchtest.Verb, want int) {
	t.Helper()
	if got := s.server.Count(verb); got != want {
		t.Errorf("%d requests to %v, want %d; report:\n%s", got, verb, want, s.out)
	}
}

// wantReport fails the test unless the report contains the words.
func (s *fixture) wantReport(t *testing.T, words string) {
	t.Helper()
	if !strings.Contains(s.out.String(), words) {
		t.Errorf("the report lacks %q:\n%s", words, s.out)
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
