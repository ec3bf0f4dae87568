// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"testing"
	"time"

	"github.com/executorpods/watchsource"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// loss is an application whose executors, of every kind, change while no watch is open.
type loss struct {
	client    kubernetes.Interface
	namespace string
	pods      []*corev1.Pod
}

func newLoss(t *testing.T) *loss {
	t.Helper()
	client := admin(t)
	l := &loss{client: client, namespace: newNamespace(t, client)}
	pods := make([]*corev1.Pod, 10)
	for id := range pods {
		pods[id] = executorPod(l.namespace, appID, id)
	}
	l.pods = create(t, client, pods...)
	return l
}

// happen deletes one executor, lets one fail, replaces one, and adds one.
func (l *loss) happen(t *testing.T) {
	t.Helper()
	remove(t, l.client, byForce, l.pods[0], l.pods[1])
	fail(t, l.client, l.pods[2])
	create(t, l.client, executorPod(l.namespace, appID, 1), executorPod(l.namespace, appID, 100))
}

func fail(t *testing.T, client kubernetes.Interface, pod *corev1.Pod) {
	t.Helper()
	failed := pod.DeepCopy()
	failed.Status.Phase = corev1.PodFailed
	failed.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name:  pod.Spec.Containers[0].Name,
		State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error"}},
	}}
	if _, err := client.CoreV1().Pods(pod.Namespace).UpdateStatus(t.Context(), failed, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// check fails the test unless the reader was shown everything once.
func (l *loss) check(t *testing.T, seen readerCounts) {
	t.Helper()
	for id, want := range []struct{ ends, gone int }{0: {0, 1}, 1: {0, 1}, 2: {1, 0}, 3: {0, 0}} {
		uid := l.pods[id].UID
		if seen.ends[uid] != want.ends || seen.gone[uid] != want.gone {
			t.Errorf("executor %d: %d ends and %d disappearances were seen, want %d and %d", id, seen.ends[uid], seen.gone[uid], want.ends, want.gone)
		}
	}
	for _, change := range seen.broken {
		t.Errorf("a change of %s does not continue from the one before: %+v", change.After.Name, change)
	}
}

// watch reads until the last executor shows.
func (l *loss) watch(t *testing.T, w *consumer) <-chan readerCounts {
	t.Helper()
	result := make(chan readerCounts, 1)
	go func() { result <- w.count(t.Context(), 0, executorPod(l.namespace, appID, lastID).Name) }()
	return result
}

func (l *loss) finish(t *testing.T, w *consumer, result <-chan readerCounts) {
	t.Helper()
	w.mustAgree(t, l.client, "afterwards")
	create(t, l.client, executorPod(l.namespace, appID, lastID))
	w.mustAgree(t, l.client, "at the end")
	l.check(t, <-result)
	status := w.source.Status()
	t.Logf("%d lists, %d resumes, %d errors, last error %v", status.Lists, status.Resumes, status.Errors, status.Err)
}

// Guarantee 5: a watch that the server ends is resumed, and costs no list.
func TestServerEndsWatches(t *testing.T) {
	inEachMediaType(t, func(t *testing.T, config *rest.Config) {
		l := newLoss(t)
		w := newConsumer(t, "watches that last 2 s", shortWatches(config), l.namespace)
		result := l.watch(t, w)
		waitForStatus(t, w.source, "resumed", func(s watchsource.Status) bool { return s.Resumes >= 1 })
		l.happen(t)
		waitForStatus(t, w.source, "resumed again", func(s watchsource.Status) bool { return s.Resumes >= 2 })
		l.finish(t, w, result)
		if status := w.source.Status(); status.Lists != 1 || status.Errors != 0 {
			t.Errorf("%d lists and %d errors, want 1 and none", status.Lists, status.Errors)
		}
	})
}

// Guarantee 5: a connection that breaks costs no list, not even when the server
// stays out of reach for a while in which much happens.
func TestConnectionBreaks(t *testing.T) {
	inEachMediaType(t, func(t *testing.T, config *rest.Config) {
		l := newLoss(t)
		p := newProxy(t)
		w := newConsumer(t, "cut off", p.through(config), l.namespace)
		result := l.watch(t, w)

		p.drop()
		waitForStatus(t, w.source, "resumed", func(s watchsource.Status) bool { return s.Resumes == 1 && s.Phase == watchsource.Watching })
		w.mustAgree(t, l.client, "after the first break")

		p.cut()
		away := waitForStatus(t, w.source, "retrying", func(s watchsource.Status) bool { return s.Phase == watchsource.Retrying })
		if away.Err == nil {
			t.Error("the status has no error, want the reason")
		}
		l.happen(t)
		p.mend(t)
		begin := time.Now()
		waitForStatus(t, w.source, "watching", func(s watchsource.Status) bool { return s.Phase == watchsource.Watching })
		t.Logf("resumed %v after the server was back", time.Since(begin).Round(time.Millisecond))
		l.finish(t, w, result)
		if status := w.source.Status(); status.Lists != 1 {
			t.Errorf("%d lists, want 1", status.Lists)
		}
	})
}

// Guarantee 6, as far as the transport is concerned: a connection that carries
// nothing any more is found out by the pings of HTTP/2, and replaced.
func TestConnectionGoesSilent(t *testing.T) {
	// client-go's defaults are 30 and 15.
	t.Setenv("HTTP2_READ_IDLE_TIMEOUT_SECONDS", "1")
	t.Setenv("HTTP2_PING_TIMEOUT_SECONDS", "1")
	l := newLoss(t)
	p := newProxy(t)
	w := newConsumer(t, "silent", p.through(server.Config()), l.namespace)
	result := l.watch(t, w)
	p.lose()
	l.happen(t)
	begin := time.Now()
	waitForStatus(t, w.source, "resumed", func(s watchsource.Status) bool { return s.Resumes > 0 })
	t.Logf("resumed after %v", time.Since(begin).Round(time.Millisecond))
	l.finish(t, w, result)
	if status := w.source.Status(); status.Lists != 1 {
		t.Errorf("%d lists, want 1", status.Lists)
	}
}

func inEachMediaType(t *testing.T, test func(*testing.T, *rest.Config)) {
	t.Helper()
	for name, contentType := range map[string]string{"JSON": asJSON, "protobuf": asProtobuf} {
		t.Run(name, func(t *testing.T) { test(t, speaking(server.Config(), contentType)) })
	}
}

// Guarantee 7: rights that are taken away show in the status, and sight returns
// with them.
func TestRightsTakenAway(t *testing.T) {
	l := newLoss(t)
	p := newProxy(t)
	user := newUser(t, "demoted")
	user.mayOnly(t, l.client, l.namespace, "list", "watch")
	w := newConsumer(t, "demoted", p.through(user.config), l.namespace)
	result := l.watch(t, w)

	user.mayOnly(t, l.client, l.namespace)
	p.drop() // the rights of an open watch are not checked again
	away := waitForStatus(t, w.source, "retrying", func(s watchsource.Status) bool { return s.Phase == watchsource.Retrying })
	if !apierrors.IsForbidden(away.Err) {
		t.Errorf("the error of the status is %v, want Forbidden", away.Err)
	}
	l.happen(t)
	user.mayOnly(t, l.client, l.namespace, "list", "watch")
	waitForStatus(t, w.source, "watching", func(s watchsource.Status) bool { return s.Phase == watchsource.Watching })
	l.finish(t, w, result)
	if status := w.source.Status(); status.Lists != 1 {
		t.Errorf("%d lists, want 1", status.Lists)
	}
}

// The API server itself goes away and comes back, as in an upgrade. It may have
// forgotten the version from which the watch would go on, and then answers 410.
func TestServerRestarts(t *testing.T) {
	l := newLoss(t)
	w := newConsumer(t, "restart", server.Config(), l.namespace)
	result := l.watch(t, w)
	if err := server.StopAPIServer(); err != nil {
		t.Fatal(err)
	}
	waitForStatus(t, w.source, "retrying", func(s watchsource.Status) bool { return s.Phase == watchsource.Retrying })
	if err := server.StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.happen(t)
	waitForStatus(t, w.source, "watching", func(s watchsource.Status) bool { return s.Phase == watchsource.Watching })
	l.finish(t, w, result)
}
