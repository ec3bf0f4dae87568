// SPDX-License-Identifier: Apache-2.0

package command

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/watchtest"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

const evil = "\x1b]0;owned\x07\x1b[2J\u009b31m\u202egnp.\r\nsecond\tline"

// A buffer is safe for concurrent use.
type buffer struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.String()
}

// A call is one call of the command.
type call struct {
	out, errOut buffer
	cancel      func()
	done        chan error
}

// startCall starts the command on a server. It must be called in a bubble.
func startCall(t *testing.T, server *watchtest.Server, args ...string) *call {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	c := &call{cancel: cancel, done: make(chan error, 1)}
	o := newOptions(genericiooptions.IOStreams{Out: &c.out, ErrOut: &c.errOut})
	cmd := o.command()
	if err := cmd.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	if err := o.complete(cmd.Flags(), cmd.Flags().Args()); err != nil {
		t.Fatal(err)
	}
	namespace := "jobs"
	if o.allNamespaces {
		namespace = ""
	}
	go func() { c.done <- o.show(ctx, target{client: server.Client(), namespace: namespace}) }()
	t.Cleanup(cancel)
	time.Sleep(time.Second)
	return c
}

// once runs the command to its end, and returns its output.
func once(t *testing.T, server *watchtest.Server, args ...string) string {
	t.Helper()
	c := startCall(t, server, args...)
	if err := <-c.done; err != nil {
		t.Errorf("%v: err = %v, want nil", args, err)
	}
	return c.out.String()
}

func pod(namespace, app string, id int, change func(*corev1.Pod)) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprintf("%s-exec-%d", app, id), Namespace: namespace,
			Labels: map[string]string{
				watchsource.LabelApp: app, watchsource.LabelRole: watchsource.RoleExecutor, watchsource.LabelExecutorID: strconv.Itoa(id),
			},
		},
		Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever,
			Containers:    []corev1.Container{{Name: "spark-kubernetes-executor", Env: []corev1.EnvVar{{Name: "TOKEN", Value: "secret"}}}},
		},
		Status: corev1.PodStatus{Phase: corev1.PodPending},
	}
	if change != nil {
		change(pod)
	}
	return pod
}

func running(pod *corev1.Pod) {
	pod.Spec.NodeName = "node-1"
	pod.Status.Phase = corev1.PodRunning
	pod.Status.PodIP = "10.0.0.7"
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: "spark-kubernetes-executor", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}},
	}}
}

func ended(code int32, reason string) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		pod.Status.Phase = corev1.PodFailed
		if code == 0 {
			pod.Status.Phase = corev1.PodSucceeded
		}
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
			Name:  "spark-kubernetes-executor",
			State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason, FinishedAt: metav1.Now()}},
		}}
	}
}

// example has two applications in two namespaces, one with everything that a table shows.
func example() *watchtest.Server {
	server := watchtest.NewServer()
	server.Create(pod("jobs", "app-a", 1, running))
	server.Create(pod("jobs", "app-a", 2, func(pod *corev1.Pod) {
		pod.Status.Conditions = []corev1.PodCondition{{
			Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/9 nodes are available.",
		}}
	}))
	server.Create(pod("jobs", "app-a", 3, ended(137, "OOMKilled")))
	server.Create(pod("other", "app-b", 1, running))
	server.Create(pod("other", "", 1, func(pod *corev1.Pod) { delete(pod.Labels, watchsource.LabelApp) })) // not of an application
	return server
}
