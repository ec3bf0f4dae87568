// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/executorpods/watchsource/internal/podwire"
)

// trimmed returns the pod without what nobody reads. It copies the pod instead
// of changing it, because a fake hands out pods that its test still holds.
func (w *Watcher) trimmed(pod *corev1.Pod) *corev1.Pod {
	if w.form == podwire.Full && pod.ManagedFields == nil {
		return pod
	}
	kept := *pod
	w.form.Trim(&kept)
	return &kept
}
