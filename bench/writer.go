// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/podtest"
)

// A writer makes the pods on a real API server, and changes their states as
// their nodes would.
type writer struct {
	// Fixed after prepare.
	client kubernetes.Interface
	pods   int
	apps   int // the applications that the pods belong to, in turn

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

// prepare connects to a cluster, and creates the namespace and the pods.
func (w *writer) prepare(ctx context.Context, kubeconfig string, progress io.Writer) error {
	config, err := loadConfig(kubeconfig)
	if err != nil {
		return err
	}
	w.client, err = kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	fmt.Fprintf(progress, "creating %d pods\n", w.pods)
	if err := w.createNamespace(ctx); err != nil {
		return err
	}
	return w.createPods(ctx)
}

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
		pod := podtest.Executor(i, 0, true)
		pod.Labels[watchsource.LabelApp] = nthApp(i % w.apps)
		group.Go(func() error { return w.create(ctx, pod) })
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

// churn makes updates at a steady rate, or as fast as possible if interval is 0: each turns
// over the readiness of one pod, in the order of a script.
func (w *writer) churn(ctx context.Context, updates int, interval time.Duration) ([]write, error) {
	order := &script{pods: w.pods}
	writes := make([]write, updates)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(writersAtOnce)
	wait, stop := pace(interval)
	defer stop()
	for k := range writes {
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, errors.Join(group.Wait(), context.Cause(ctx))
		}
		i, ready := order.updated(w.written)
		w.written++
		group.Go(func() error { return w.update(ctx, podtest.ExecutorName(i), ready, &writes[k]) })
	}
	return writes, group.Wait()
}

// pace returns a channel that is ready when the next update is due.
func pace(interval time.Duration) (due <-chan time.Time, stop func()) {
	if interval == 0 {
		always := make(chan time.Time)
		close(always)
		return always, func() {}
	}
	ticker := time.NewTicker(interval)
	return ticker.C, ticker.Stop
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

// createMarkers creates the marker of each application.
func (w *writer) createMarkers(ctx context.Context) error { return w.eachMarker(ctx, w.createMarker) }

func (w *writer) createWarmUpMarker(ctx context.Context) error {
	return w.createMarker(ctx, warmUpMarker(0))
}

func (w *writer) createMarker(ctx context.Context, marker *corev1.Pod) error {
	marker.UID, marker.ResourceVersion, marker.CreationTimestamp = "", "", metav1.Time{}
	if _, err := w.client.CoreV1().Pods(namespace).Create(ctx, marker, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create a marker: %w", err)
	}
	return nil
}

func (w *writer) removeMarkers(ctx context.Context) error {
	if err := w.removeMarker(ctx, warmUpMarker(0)); err != nil {
		return err
	}
	return w.eachMarker(ctx, w.removeMarker)
}

func (w *writer) removeMarker(ctx context.Context, marker *corev1.Pod) error {
	err := w.client.CoreV1().Pods(namespace).Delete(ctx, marker.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete a marker: %w", err)
	}
	return nil
}

func (w *writer) eachMarker(ctx context.Context, do func(context.Context, *corev1.Pod) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(writersAtOnce)
	for k := range w.apps {
		group.Go(func() error { return do(ctx, markerPod(0, k)) })
	}
	return group.Wait()
}
