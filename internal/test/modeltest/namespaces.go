// SPDX-License-Identifier: Apache-2.0

package modeltest

import (
	"k8s.io/client-go/kubernetes"

	"github.com/executorpods/watchsource"
)

// Namespaces is the constructor of a source with a watch for each of three namespaces. Nearly all pods
// of the tests are in the second one.
func Namespaces(store watchsource.SnapshotsStore, client kubernetes.Interface, opts ...watchsource.Option) *watchsource.WatchSnapshotSource {
	all := append([]watchsource.Option{watchsource.WithNamespaces("lab", "jobs", "spark")}, opts...)
	return watchsource.NewWatchSnapshotSource(store, client, all...)
}
