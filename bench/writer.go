// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/executorpods/watchsource/internal/podtest"
)

// A writer makes the pods on a real API server, and changes their states as
// their nodes would.
type writer struct {
	// Fixed after newWriter.
	client   kubernetes.Interface
	pods     int
	updates  int
	interval time.Duration // from one update to the next

	// Owned by the goroutine that calls churn.
	written int // updates so far
}

// A write is one update, and when it was sent and answered, in Unix time in
// nanoseconds.
type write struct {
	pod      string
	version  string
	sent     int64
	answered int64
}

// writersAtOnce is how many requests are under way at a time.
const writersAtOnce = 8

// createNamespace may find it there.
func (w *writer) createNamespace(ctx context.Context) error {
	_, err := w.client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create namespace: %w", err)
	}
	return nil
}

// createPods creates those that are not there yet.
func (w *writer) createPods(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(writersAtOnce)
	for i := range w.pods {
		group.Go(func() error { return w.create(ctx, podtest.Executor(i, 0, true)) })
	}
	return group.Wait()
}

// create removes the fields that the server sets.
func (w *writer) create(ctx context.Context, pod *corev1.Pod) error {
	pods := w.client.CoreV1().Pods(namespace)
	status := pod.Status
	pod.UID, pod.ResourceVersion, pod.ManagedFields, pod.CreationTimestamp = "", "", nil, metav1.Time{}
	made, err := pods.Create(ctx, pod, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("create pod: %w", err)
	}
	made.Status = status
	if _, err := pods.UpdateStatus(ctx, made, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("write the status of a pod: %w", err)
	}
	return nil
}

// churn makes the updates of one round, at a steady rate: each turns over the
// readiness of one pod, in the order of a script.
func (w *writer) churn(ctx context.Context) ([]write, error) {
	order := &script{pods: w.pods}
	writes := make([]write, w.updates)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(writersAtOnce)
	ticker := time.NewTicker(w.interval)
	defer ticker.Stop()
	for k := range writes {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil, errors.Join(group.Wait(), context.Cause(ctx))
		}
		i, ready := order.updated(w.written)
		w.written++
		group.Go(func() error { return w.update(ctx, podtest.ExecutorName(i), ready, &writes[k]) })
	}
	return writes, group.Wait()
}

func (w *writer) update(ctx context.Context, pod string, ready bool, done *write) error {
	patch := readinessPatch(ready)
	sent := time.Now().UnixNano()
	updated, err := w.client.CoreV1().Pods(namespace).Patch(ctx, pod, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	if err != nil {
		return fmt.Errorf("patch the status of a pod: %w", err)
	}
	*done = write{pod: pod, version: updated.ResourceVersion, sent: sent, answered: time.Now().UnixNano()}
	return nil
}

// readinessPatch is what a kubelet sends when a readiness probe turns over.
func readinessPatch(ready bool) []byte {
	status, reason := corev1.ConditionTrue, ""
	if !ready {
		status, reason = corev1.ConditionFalse, "ContainersNotReady"
	}
	return fmt.Appendf(nil, `{"status":{"conditions":[{"type":"Ready","status":%[1]q,"reason":%[2]q,"lastTransitionTime":%[3]q},{"type":"ContainersReady","status":%[1]q,"reason":%[2]q,"lastTransitionTime":%[3]q}]}}`,
		status, reason, time.Now().UTC().Format(time.RFC3339))
}

func (w *writer) createMarker(ctx context.Context) error {
	pod := markerPod(0, 0)
	pod.UID, pod.ResourceVersion, pod.CreationTimestamp = "", "", metav1.Time{}
	if _, err := w.client.CoreV1().Pods(namespace).Create(ctx, pod, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create the marker: %w", err)
	}
	return nil
}

func (w *writer) removeMarker(ctx context.Context) error {
	err := w.client.CoreV1().Pods(namespace).Delete(ctx, markerName, metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete the marker: %w", err)
	}
	return nil
}
