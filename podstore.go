// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/executorpods/watchsource/internal/podwire"
)

// A podStore receives pods in their wire form, or decoded if they came so, and knows the
// resource version of each pod that it has.
type podStore interface {
	updatePod(*podwire.Pod)
	deletePod(*podwire.Pod)
	replacePods([]*podwire.Pod)
	ObserveResourceVersion(string)
	// last returns the last state of a pod. It has the resource version in any case, and the pod
	// if the store keeps it.
	last(key types.UID) (known podwire.Known, ok bool)
}

// podStoreOf returns the podStore for a store of the public API. A Store is one itself. A type that
// embeds a Store may not forward every call, so it counts as a store of the user.
func podStoreOf(store SnapshotsStore, trimmed bool) podStore {
	if s, ok := store.(*Store); ok {
		return s
	}
	return newLedger(userStore{store, trimmed})
}

// received wraps the pods that a caller of the public API has passed.
func received(pods []*corev1.Pod) []*podwire.Pod {
	all := make([]*podwire.Pod, len(pods))
	for i, pod := range pods {
		all[i] = podwire.Of(pod)
	}
	return all
}
