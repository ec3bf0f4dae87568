// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/watchtest"
)

const (
	job   = "build-4711"
	limit = 5 * time.Minute
)

// build is a pod of the job that clones a repository, and then builds it beside a service.
func build(name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "ci", Labels: map[string]string{batchv1.JobNameLabel: job}},
		Spec: corev1.PodSpec{
			RestartPolicy:  corev1.RestartPolicyNever,
			InitContainers: []corev1.Container{{Name: "clone", Image: "git"}},
			Containers:     []corev1.Container{{Name: "build", Image: "go"}, {Name: "postgres", Image: "postgres"}},
		},
	}
}

// states sets the states of the containers clone, build and postgres.
func states(clone, build, postgres corev1.ContainerState) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "clone", State: clone}}
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "build", State: build}, {Name: "postgres", State: postgres}}
	}
}

func waits(reason, message string) corev1.ContainerState {
	return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
}

func ended(code int32, reason string) corev1.ContainerState {
	return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason}}
}

var (
	initializing = waits("PodInitializing", "")
	running      = corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
)

// A program has the output of watch while it runs.
type program struct {
	t      *testing.T
	server *watchtest.Server
	out    output
	stop   func() error
}

// An output is written by the program and read by the test.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

// take returns the text since the last call.
func (o *output) take() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	defer o.text.Reset()
	return o.text.String()
}

func start(t *testing.T) *program {
	p := &program{t: t, server: watchtest.NewServer()}
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error)
	go func() { result <- watch(ctx, p.server.Client(), "ci", job, limit, &p.out) }()
	p.stop = func() error {
		cancel()
		return <-result
	}
	synctest.Wait()
	return p
}

// want fails unless the program has printed the lines since the last call, in any order.
func (p *program) want(when string, lines ...string) {
	p.t.Helper()
	synctest.Wait()
	got := strings.FieldsFunc(p.out.take(), func(r rune) bool { return r == '\n' })
	slices.Sort(got)
	if !slices.Equal(got, lines) {
		p.t.Errorf("%s: printed %q, want %q", when, got, lines)
	}
}

func TestFailedInitContainers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := start(t)
		for _, name := range []string{"crashes", "fails", "is-fine", "leaves"} {
			p.server.Create(build(name))
		}
		p.server.Update("ci", "fails", states(ended(128, "Error"), initializing, initializing))
		p.server.Update("ci", "crashes", func(pod *corev1.Pod) {
			states(waits("CrashLoopBackOff", "back-off"), initializing, initializing)(pod)
			pod.Status.InitContainerStatuses[0].LastTerminationState = ended(137, "OOMKilled")
		})
		p.server.Update("ci", "is-fine", states(ended(0, "Completed"), running, running))
		p.server.Update("ci", "leaves", states(ended(2, "Error"), initializing, initializing))
		p.server.Delete("ci", "leaves")
		time.Sleep(time.Second)
		p.want("at once",
			"crashes: init container clone has failed: exit code 137, OOMKilled",
			"fails: init container clone has failed: exit code 128, Error",
			"leaves: init container clone has failed: exit code 2, Error")
		p.server.Update("ci", "fails", func(pod *corev1.Pod) { pod.Status.Phase = corev1.PodFailed })
		time.Sleep(time.Second)
		p.want("the same again")
		p.server.Create(build("late"))
		p.server.Update("ci", "late", states(ended(3, "Error"), initializing, initializing))
		synctest.Wait()
		if err := p.stop(); err != nil {
			t.Errorf("watch returned %v, want nil", err)
		}
		p.want("at the end", "late: init container clone has failed: exit code 3, Error")
	})
}

// A pod that is pending for too long is printed although nothing changes in it, without a request.
func TestPendingPods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := start(t)
		for _, name := range []string{"image", "init-image", "node", "slow-clone", "starts", "volume"} {
			p.server.Create(build(name))
		}
		const backOff = "back-off pulling image"
		p.server.Update("ci", "image", states(ended(0, "Completed"), running, waits("ImagePullBackOff", backOff)))
		p.server.Update("ci", "init-image", states(waits("ErrImagePull", "not found"), initializing, initializing))
		p.server.Update("ci", "node", func(pod *corev1.Pod) {
			pod.Status.Conditions = []corev1.PodCondition{{
				Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/9 nodes are available",
			}}
		})
		p.server.Update("ci", "slow-clone", states(running, initializing, initializing))
		p.server.Update("ci", "volume", states(waits("ContainerCreating", ""), initializing, initializing))
		p.server.Update("ci", "image", func(pod *corev1.Pod) { pod.Status.ContainerStatuses[0].State = waits("ContainerCreating", "") })
		time.Sleep(time.Minute)
		p.server.Update("ci", "starts", func(pod *corev1.Pod) {
			states(ended(0, "Completed"), running, running)(pod)
			pod.Status.Phase = corev1.PodRunning
		})
		time.Sleep(limit - time.Minute - time.Second)
		requests := p.server.Count(watchtest.List | watchtest.StreamingList)
		p.want("before the limit")
		time.Sleep(11 * time.Second)
		p.want("after the limit",
			"image is pending for 5m0s: ImagePullBackOff "+backOff,
			"image: container build waits: ContainerCreating",
			"image: container postgres waits: ImagePullBackOff "+backOff,
			"init-image is pending for 5m0s: ErrImagePull not found",
			"init-image: container clone waits: ErrImagePull not found",
			"node is pending for 5m0s: Unschedulable 0/9 nodes are available",
			"slow-clone is pending for 5m0s: PodInitializing",
			"volume is pending for 5m0s: PodInitializing",
			"volume: container clone waits: ContainerCreating")
		time.Sleep(time.Minute)
		p.want("the same again")
		if n := p.server.Count(watchtest.List|watchtest.StreamingList) - requests; n != 0 {
			t.Errorf("%d lists while nothing changed, want none", n)
		}
		if err := p.stop(); err != nil {
			t.Errorf("watch returned %v, want nil", err)
		}
	})
}

// A watch that cannot start ends the program with the reason.
func TestWatchReturnsTheErrorOfStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := watch(t.Context(), watchtest.NewServer().Client(), "ci", "", limit, new(bytes.Buffer))
		if !errors.Is(err, watchsource.ErrInvalidAppID) {
			t.Errorf("watch returned %v, want ErrInvalidAppID", err)
		}
	})
}

// A team copies the program, so it stays short.
func TestProgramIsShort(t *testing.T) {
	program, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	if lines := bytes.Count(program, []byte("\n")); lines > 120 {
		t.Errorf("main.go has %d lines, want at most 120", lines)
	}
}
