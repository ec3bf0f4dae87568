// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/integration/kubelet"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
)

// processEnd is how an executor ends that is a process.
type processEnd struct {
	state                       watchsource.State
	exitCode                    int32
	reason, message, disruption string
}

// The kubelet runs containers as processes, and the source sees their real ends.
func TestExecutorsAsProcesses(t *testing.T) {
	client := admin(t)
	namespace := newNamespace(t, client)
	node := kubelet.Kubelet{Client: client, Node: "node-0", Namespace: namespace,
		Runtime: &kubelet.Runtime{Entrypoint: []string{"/bin/sh", "-c"}, Environment: os.Environ(), Dir: t.TempDir()}}
	runNode(t, &node)
	watching := newConsumer(t, "processes", server.Config(), namespace)

	signal := func(number syscall.Signal) func(*corev1.Pod) error {
		return func(pod *corev1.Pod) error { return node.Runtime.Signal(pod.UID, number) }
	}
	evict := func(pod *corev1.Pod) error {
		return node.Runtime.Evict(pod.UID, "The node was low on resource: memory.")
	}
	deletePod := func(options metav1.DeleteOptions) func(*corev1.Pod) error {
		return func(pod *corev1.Pod) error {
			return client.CoreV1().Pods(namespace).Delete(t.Context(), pod.Name, options)
		}
	}
	inOneSecond := metav1.DeleteOptions{GracePeriodSeconds: new(int64(1))}
	for id, test := range []struct {
		name    string
		command []string // empty for the entrypoint
		script  string
		act     func(*corev1.Pod) error // once the executor runs
		want    processEnd
		gone    bool
	}{
		{name: "ends well", script: "exit 0", want: processEnd{state: watchsource.Succeeded, reason: "Completed"}},
		{name: "ends with a code", script: "exit 52", want: processEnd{state: watchsource.Failed, exitCode: 52, reason: "Error"}},
		{name: "is killed", script: "echo ready; sleep 1000", act: signal(syscall.SIGKILL), want: processEnd{state: watchsource.Failed, exitCode: 137, reason: "Error"}},
		{name: "is evicted", script: "echo ready; sleep 1000", act: evict, want: processEnd{watchsource.Failed, 137, "Evicted", "The node was low on resource: memory.", "TerminationByKubelet"}},
		{name: "is deleted and obeys", script: "trap 'exit 7' TERM; echo ready; sleep 1000 & wait", act: deletePod(gracefully), gone: true, want: processEnd{state: watchsource.Failed, exitCode: 7, reason: "Error"}},
		{name: "is deleted and does not obey", script: "trap '' TERM; echo ready; sleep 1000", act: deletePod(inOneSecond), gone: true, want: processEnd{state: watchsource.Failed, exitCode: 137, reason: "Error"}},
		{name: "is deleted by force", script: "trap '' TERM; echo ready; sleep 1000", act: deletePod(byForce), gone: true, want: processEnd{state: watchsource.Running, exitCode: watchsource.UnknownExitCode}},
		{name: "reads its environment", script: `test "$A" = "b-$(POD)" && test "$POD" = "$(POD)" && test "$IP" != "" && exit 3`, want: processEnd{state: watchsource.Failed, exitCode: 3, reason: "Error"}},
		{name: "cannot be started", command: []string{"/no/such/program"}, want: processEnd{state: watchsource.Failed, exitCode: 128, reason: "StartError", message: "fork/exec /no/such/program: no such file or directory"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			pod := executorPod(namespace, appID, id)
			pod.Spec.TerminationGracePeriodSeconds = new(int64(20))
			container := &pod.Spec.Containers[0]
			container.Command, container.Args = test.command, []string{test.script}
			container.Env = []corev1.EnvVar{
				{Name: "POD", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}},
				{Name: "IP", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "status.podIP"}}},
				{Name: "A", Value: "b-$(POD)"},
			}
			seen := follow(t, watching.store, pod.Name, test.gone)
			pod = create(t, client, pod)[0]
			if test.act != nil {
				await(t, "the executor runs", seen.running)
				waitForLine(t, filepath.Join(node.Runtime.Dir, pod.Name, "output.log"), "ready\n")
				if err := test.act(pod); err != nil {
					t.Fatal(err)
				}
			}
			await(t, "the executor is over", seen.over)
			e := seen.last
			got := processEnd{e.State, e.ExitCode, e.Reason, e.Message, e.Disruption}
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(processEnd{})); diff != "" {
				t.Errorf("end (-want +got):\n%s", diff)
			}
			waitForEnd(t, node.Runtime, pod)
		})
	}
}

// A life is what a reader was shown of an executor.
type life struct {
	running chan struct{}        // closed when it runs
	over    chan struct{}        // closed when it has ended or, if that is awaited, when it is gone
	last    watchsource.Executor // while it existed
}

// follow reads the changes of an executor until it is over.
func follow(t *testing.T, store *watchsource.Store, pod string, untilGone bool) *life {
	l := &life{running: make(chan struct{}), over: make(chan struct{})}
	running := sync.OnceFunc(func() { close(l.running) })
	ctx, cancel := context.WithCancel(t.Context())
	var reading sync.WaitGroup
	reading.Go(func() {
		for batch := range store.Batches(ctx, 0) {
			for _, c := range batch.Changes {
				gone := c.After.State == watchsource.Deleted
				switch {
				case c.After.Name != pod:
					continue
				case !gone:
					l.last = *c.After
				}
				if c.After.State == watchsource.Running {
					running()
				}
				if gone || c.Ended && !untilGone {
					close(l.over)
					return
				}
			}
		}
	})
	t.Cleanup(func() {
		cancel()
		reading.Wait()
	})
	return l
}

// await fails the test if a channel is not closed.
func await(t *testing.T, what string, closed <-chan struct{}) {
	t.Helper()
	select {
	case <-closed:
	case <-time.After(patience):
		t.Fatalf("not within %v: %s", patience, what)
	}
}

// waitForLine waits until a container has written a line.
func waitForLine(t *testing.T, log, line string) {
	t.Helper()
	waitUntil(t, fmt.Sprintf("%q in %s", line, log), func() bool {
		content, err := os.ReadFile(log)
		return err == nil && strings.Contains(string(content), line)
	})
}

// waitForEnd waits until a pod has no process.
func waitForEnd(t *testing.T, runtime *kubelet.Runtime, pod *corev1.Pod) {
	t.Helper()
	waitUntil(t, "the end of the process of pod "+pod.Name, func() bool {
		return errors.Is(runtime.Signal(pod.UID, 0), kubelet.ErrNoProcess)
	})
}

func waitUntil(t *testing.T, what string, cond func() bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 5*time.Millisecond, patience, true, func(context.Context) (bool, error) { return cond(), nil })
	if err != nil {
		t.Fatalf("waiting for %s: %v", what, err)
	}
}
