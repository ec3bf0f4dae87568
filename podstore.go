// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
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
