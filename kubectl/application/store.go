// SPDX-License-Identifier: Apache-2.0

package application

import (
	"cmp"
	"iter"
	"slices"

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

func idOf(pod metav1.Object) (ID, bool) {
	name, ok := pod.GetLabels()[watchsource.LabelApp]
	return ID{Namespace: pod.GetNamespace(), Name: name}, ok
}
