// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/watchtest"
)

const appID = "spark-8f3a5c1e"

func executor(id string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name:      "exec-" + id,
			Namespace: "jobs",
			Labels: map[string]string{
				watchsource.LabelApp:        appID,
				watchsource.LabelRole:       watchsource.RoleExecutor,
				watchsource.LabelExecutorID: id,
			},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "spark-kubernetes-executor", Image: "spark"}}},
	}
}

// changedBy is a label that a handler sets in its copies.
const changedBy = "changed-by"

// A recorder is a handler that writes its calls down. It keeps the pods as a cache would, and fails
// for an update or a deletion of a pod that it was not given before in this state.
type recorder struct {
	t     *testing.T
	mu    sync.Mutex
	calls []string
	pods  map[string]*corev1.Pod
}

func newRecorder(t *testing.T) *recorder { return &recorder{t: t, pods: map[string]*corev1.Pod{}} }

func (r *recorder) record(call string, obj any) *corev1.Pod {
	r.mu.Lock()
	defer r.mu.Unlock()
	pod, ok := obj.(*corev1.Pod)
	if !ok {
		r.t.Errorf("%s got a %T, want a pod", call, obj)
		return new(corev1.Pod)
	}
	if pod.Labels[changedBy] != "" {
		r.t.Errorf("%s got a pod that a handler has changed, want a copy", call)
	}
	r.calls = append(r.calls, fmt.Sprint(call, " ", pod.Name, " ", pod.Status.Phase))
	return pod
}

func (r *recorder) OnAdd(obj any, isInInitialList bool) {
	pod := r.record(fmt.Sprint("add ", isInInitialList), obj)
	r.pods[pod.Name] = pod
}

func (r *recorder) OnUpdate(before, obj any) {
	pod := r.record("update", obj)
	if was, known := before.(*corev1.Pod), r.pods[pod.Name]; known == nil || was.ResourceVersion != known.ResourceVersion {
		r.t.Errorf("the state before the update of %s is %v, want the last one that the handler was given", pod.Name, was.ResourceVersion)
	}
	r.pods[pod.Name] = pod
	pod.Labels[changedBy] = "handler"
}

func (r *recorder) OnDelete(obj any) {
	pod := r.record("delete", obj)
	if r.pods[pod.Name] == nil {
		r.t.Errorf("%s is deleted and was not added", pod.Name)
	}
	delete(r.pods, pod.Name)
}

// take returns the calls since the last take.
func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	calls := r.calls
	r.calls = nil
	return calls
}

func (r *recorder) want(when string, want ...string) {
	r.t.Helper()
	time.Sleep(2 * time.Second)
	synctest.Wait()
	if got := r.take(); !slices.Equal(got, want) {
		r.t.Errorf("%s: calls %q, want %q", when, got, want)
	}
}

func start(t *testing.T, server *watchtest.Server, handlers *recorder) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error)
	go func() { result <- handle(ctx, server.Client(), "jobs", appID, handlers) }()
	return func() {
		cancel()
		if err := <-result; err != nil {
			t.Errorf("handle returned %v, want nil", err)
		}
	}
}

// The handlers are called as by an informer. A pod whose deletion the watch has missed is no tombstone.
func TestHandlersAreCalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, handlers := watchtest.NewServer(), newRecorder(t)
		server.Create(executor("1"))
		server.Create(executor("2"))
		stop := start(t, server, handlers)
		handlers.want("first", "add true exec-1 Pending", "add true exec-2 Pending")

		server.Create(executor("3"))
		server.Update("jobs", "exec-1", func(p *corev1.Pod) { p.Status.Phase = corev1.PodRunning })
		handlers.want("new and changed", "add false exec-3 Pending", "update exec-1 Running")

		server.Delete("jobs", "exec-3")
		server.Create(executor("4"))
		server.Delete("jobs", "exec-4")
		handlers.want("deleted", "delete exec-3 Pending", "add false exec-4 Pending", "delete exec-4 Pending")

		server.Inject(watchtest.Fault{On: watchtest.Watch, Times: 1, Do: watchtest.Delay(time.Minute)})
		server.Strike(watchtest.Cut())
		synctest.Wait()
		server.Delete("jobs", "exec-1")
		server.Advance(1)
		server.Compact() // so that only a list shows the deletion
		time.Sleep(5 * time.Minute)
		handlers.want("missed", "delete exec-1 Running")

		server.Update("jobs", "exec-2", func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded })
		synctest.Wait()
		stop()
		if got, want := handlers.take(), []string{"update exec-2 Succeeded"}; !slices.Equal(got, want) {
			t.Errorf("at the end: calls %q, want %q", got, want)
		}
	})
}

// A watch that cannot start ends with the reason.
func TestHandleReturnsTheErrorOfStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := handle(t.Context(), watchtest.NewServer().Client(), "jobs", "", newRecorder(t))
		if !errors.Is(err, watchsource.ErrInvalidAppID) {
			t.Errorf("handle returned %v, want ErrInvalidAppID", err)
		}
	})
}

// What the handlers of the program print.
func Example() {
	pod := executor("1")
	printer.OnAdd(pod, true)
	pod.Status.Phase = corev1.PodRunning
	printer.OnUpdate(pod, pod)
	printer.OnDelete(pod)
	// Output:
	// added exec-1
	// updated exec-1 Running
	// deleted exec-1
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
