// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/podtest"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
)

const (
	appID     = "spark-5f0c1a7e9b"
	selector  = watchsource.LabelApp + "=" + appID + "," + watchsource.LabelRole + "=" + watchsource.RoleExecutor
	executors = 60
	pause     = 25 * time.Millisecond // between two changes
	marker    = "marker"              // an executor whose state shows that a watcher is up to date
	// requestTimeout bounds a request to a server that may be stopped.
	requestTimeout = 3 * time.Second
)

// An application has executors that come and go. It talks to the API server
// directly, so that what happens there goes on while the watchers are cut off.
type application struct {
	pods typedcorev1.PodInterface
	rng  *rand.Rand

	mu      sync.Mutex // held during each change
	stages  [executors]stage
	changes int // that the server has confirmed
}

// A stage is how far an executor has got.
type stage int

const (
	absent stage = iota
	pending
	running
	ended
	hidden  // relabelled, so that it does not count
	unclear // it is unknown whether the last change was made
)

func newApplication(t *testing.T, client kubernetes.Interface, namespace string) *application {
	t.Helper()
	a := &application{pods: client.CoreV1().Pods(namespace), rng: rand.New(rand.NewPCG(uint64(*seed), 1))}
	if _, err := a.pods.Create(t.Context(), executorPod(marker, executors), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return a
}

// live changes one executor after the other until ctx ends.
func (a *application) live(ctx context.Context) {
	for ctx.Err() == nil {
		a.mu.Lock()
		a.change(ctx)
		a.mu.Unlock()
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// change changes an executor. The change may fail while the server is away, and then the
// state of the executor is unclear.
func (a *application) change(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	id := a.rng.IntN(executors)
	next, err := a.next(ctx, id, name(id), a.rng.IntN(10))
	if err != nil {
		next = unclear
	} else {
		a.changes++
	}
	a.stages[id] = next
}

func name(id int) string { return "exec-" + strconv.Itoa(id) }

// advance brings an executor one stage further. The caller holds mu.
func (a *application) advance(t *testing.T, id int) {
	t.Helper()
	next, err := a.next(t.Context(), id, name(id), 9)
	if err != nil {
		t.Fatal(err)
	}
	a.stages[id] = next
}

func (a *application) next(ctx context.Context, id int, name string, dice int) (stage, error) {
	switch a.stages[id] {
	case absent:
		_, err := a.pods.Create(ctx, executorPod(name, id), metav1.CreateOptions{})
		return pending, err
	case pending:
		if dice == 0 {
			return absent, a.remove(ctx, name)
		}
		return running, a.patch(ctx, name, `{"status":{"phase":"Running"}}`, "status")
	case running:
		return a.fromRunning(ctx, name, dice)
	case hidden:
		if dice < 5 {
			return running, a.patch(ctx, name, `{"metadata":{"labels":{"spark-role":"executor"}}}`)
		}
	}
	return absent, a.remove(ctx, name)
}

func (a *application) fromRunning(ctx context.Context, name string, dice int) (stage, error) {
	const exit = `{"status":{"phase":%q,"containerStatuses":[{"name":"spark-kubernetes-executor","image":"i","imageID":"i",` +
		`"ready":false,"restartCount":0,"state":{"terminated":{"exitCode":%d,"reason":%q}}}]}}`
	switch dice {
	case 0:
		return absent, a.remove(ctx, name)
	case 1:
		return hidden, a.patch(ctx, name, `{"metadata":{"labels":{"spark-role":"retired"}}}`)
	case 2, 3, 4:
		return ended, a.patch(ctx, name, fmt.Sprintf(exit, corev1.PodFailed, 1, "Error"), "status")
	case 5, 6:
		return ended, a.patch(ctx, name, fmt.Sprintf(exit, corev1.PodSucceeded, 0, "Completed"), "status")
	default:
		return running, a.patch(ctx, name, fmt.Sprintf(`{"metadata":{"annotations":{"touched":"%d"}}}`, a.changes))
	}
}

// confirmed returns how many changes the server has confirmed.
func (a *application) confirmed() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.changes
}

func (a *application) patch(ctx context.Context, name, patch string, subresource ...string) error {
	_, err := a.pods.Patch(ctx, name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}, subresource...)
	return err
}

func (a *application) remove(ctx context.Context, name string) error {
	err := a.pods.Delete(ctx, name, metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// mark changes the marker and returns its new resource version. A watcher that
// has seen this version has seen all changes before it. An etcd that has just come back
// may need several attempts.
func (a *application) mark(t *testing.T) string {
	t.Helper()
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{"marked":"%d"}}}`, time.Now().UnixNano())
	var pod *corev1.Pod
	var last error
	err := wait.PollUntilContextTimeout(t.Context(), 5*time.Millisecond, limit, true, func(ctx context.Context) (bool, error) {
		ctx, cancel := context.WithTimeout(ctx, requestTimeout)
		defer cancel()
		pod, last = a.pods.Patch(ctx, marker, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
		return last == nil, nil
	})
	if err != nil {
		t.Fatalf("change the marker: %v: %v", err, last)
	}
	return pod.ResourceVersion
}

// executorPod is a pod like those that Spark makes.
func executorPod(name string, id int) *corev1.Pod {
	return podtest.Pod(strconv.Itoa(id), podtest.Named("", name), podtest.Label(watchsource.LabelApp, appID), podtest.Runnable)
}
