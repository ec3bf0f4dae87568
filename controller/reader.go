// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/executorpods/watchsource"
)

// Reader returns a reader that answers Get and List of pods from the view, and passes everything
// else on. A manager's client answers them from a cache: the first Get of a pod then lists and
// watches all pods of the cluster, and keeps them in memory.
//
// It behaves as a cache with the selector of the Watch: a pod that the view lacks is NotFound,
// even if it exists without an owner, or is not selected. Use the manager's GetAPIReader for those.
// List supports a namespace, a label selector and a limit. It fails with a field selector:
// [Watch.Snapshot] returns the pods of one owner. Pods may be asked for as a corev1.Pod, or as
// PartialObjectMetadata or Unstructured of that kind. They are copies, without managedFields.
//
// While the view is not complete, reading a pod is an error.
//
// Get looks at the snapshot of each owner. If you know the owner, [watchsource.Snapshot.GetIn] is
// faster, and costs no decoding of the pod.
func (w *Watch[request]) Reader(others client.Reader) client.Reader {
	return reader[request]{Reader: others, watch: w}
}

// Client returns a client that reads pods as [Watch.Reader] does, and is otherwise the given client.
// To make it the client of a manager, set NewClient in the manager's options.
func (w *Watch[request]) Client(others client.Client) client.Client {
	return viewClient{Client: others, reader: w.Reader(others)}
}

// A viewClient is a Client whose reads go to a reader.
type viewClient struct {
	client.Client
	reader client.Reader
}

func (c viewClient) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	return c.reader.Get(ctx, key, obj, opts...)
}

func (c viewClient) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	return c.reader.List(ctx, list, opts...)
}

type reader[request comparable] struct {
	client.Reader
	watch *Watch[request]
}

var errNotComplete = errors.New("watchsource: the view of the pods is not complete: read pods in a reconcile, or wait for the Watch's Readyz")

func (r reader[request]) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	if !isPod(obj) {
		return r.Reader.Get(ctx, key, obj, opts...)
	}
	if !r.watch.complete() {
		return errNotComplete
	}
	found, ok := r.find(key)
	if !ok {
		return apierrors.NewNotFound(corev1.Resource("pods"), key.Name)
	}
	return write(found, obj)
}

// find looks at the snapshots of all owners.
func (r reader[request]) find(key client.ObjectKey) (watchsource.Executor, bool) {
	for owner := range r.watch.store.Owners() {
		if found, ok := r.watch.store.Snapshot(owner).GetIn(key.Namespace, key.Name); ok {
			return found, true
		}
	}
	return watchsource.Executor{}, false
}

func (r reader[request]) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	if !isPodList(list) {
		return r.Reader.List(ctx, list, opts...)
	}
	var options client.ListOptions
	options.ApplyOptions(opts)
	if err := checkList(&options); err != nil {
		return err
	}
	if !r.watch.complete() {
		return errNotComplete
	}
	found := r.match(&options)
	return writeList(found, list)
}

// checkList returns why a list cannot be answered from the view.
func checkList(options *client.ListOptions) error {
	switch {
	case options.FieldSelector != nil && !options.FieldSelector.Empty():
		return fmt.Errorf("watchsource: list pods from the view: the field selector %q is not supported: use a label selector, or Watch.Snapshot for the pods of an owner", options.FieldSelector)
	case options.Continue != "":
		return errors.New("watchsource: list pods from the view: a list has no parts, and continue is not supported")
	default:
		return nil
	}
}

// match returns the executors that a list selects.
func (r reader[request]) match(options *client.ListOptions) []watchsource.Executor {
	var found []watchsource.Executor
	for owner := range r.watch.store.Owners() {
		for executor := range r.watch.store.Snapshot(owner).All() {
			if options.Limit > 0 && int64(len(found)) == options.Limit {
				return found
			}
			if selects(options, executor) {
				found = append(found, executor)
			}
		}
	}
	return found
}

func selects(options *client.ListOptions, executor watchsource.Executor) bool {
	if options.Namespace != "" && options.Namespace != executor.Namespace {
		return false
	}
	return options.LabelSelector == nil || options.LabelSelector.Matches(executorLabels{executor})
}

// executorLabels are the labels of an executor, read without decoding its pod.
type executorLabels struct{ watchsource.Executor }

var _ labels.Labels = executorLabels{}

func (l executorLabels) Lookup(key string) (value string, ok bool) { return l.Label(key) }

func (l executorLabels) Has(key string) bool {
	_, ok := l.Label(key)
	return ok
}

func (l executorLabels) Get(key string) string {
	value, _ := l.Label(key)
	return value
}
