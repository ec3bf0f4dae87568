// SPDX-License-Identifier: Apache-2.0

package application

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"time"

	"github.com/executorpods/watchsource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// An ID identifies an application. Two namespaces may have applications of one name.
type ID struct {
	Namespace string // "" for all namespaces
	Name      string
}

// Sorted returns ids by namespace, then by name, as kubectl prints objects.
func Sorted(ids iter.Seq[ID]) []ID {
	return slices.SortedFunc(ids, func(a, b ID) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
}

// A Store has the executors of each application.
type Store = watchsource.StoreBy[ID]

// NewStore returns a store without executors. If name is empty, the namespace and the label of a
// pod say to which application it belongs. Otherwise all pods belong to the application Named(name).
func NewStore(name string, opts ...watchsource.StoreOption) *Store {
	if name == "" {
		return watchsource.NewStoreBy(idOf, opts...)
	}
	return watchsource.NewStoreBy(func(metav1.Object) (ID, bool) { return Named(name), true }, opts...)
}

// Named returns the id of the application of a name in whatever namespaces its executors are.
func Named(name string) ID { return ID{Name: name} }

// A Reader returns the batches of each application. A Store is one.
type Reader interface {
	Batches(ctx context.Context, interval time.Duration) iter.Seq2[ID, watchsource.Batch]
}

// ReaderOf returns a Reader of a store that has the one application Named(name).
func ReaderOf(name string, store *watchsource.Store) Reader {
	return oneApplication{Named(name), store}
}

type oneApplication struct {
	id    ID
	store *watchsource.Store
}

func (a oneApplication) Batches(ctx context.Context, interval time.Duration) iter.Seq2[ID, watchsource.Batch] {
	return func(yield func(ID, watchsource.Batch) bool) {
		for batch := range a.store.Batches(ctx, interval) {
			if !yield(a.id, batch) {
				return
			}
		}
	}
}

func idOf(pod metav1.Object) (ID, bool) {
	name, ok := pod.GetLabels()[watchsource.LabelApp]
	return ID{Namespace: pod.GetNamespace(), Name: name}, ok
}
