// SPDX-License-Identifier: Apache-2.0

package podstate

// isReplacedBy reports whether the pod is another pod than the known one. The caller knows
// pods by their UIDs. A pod without one, as client-go's fake clientset makes it, may be a new
// pod of the same name: it was created at another time, or it has neither ended nor been
// restarted although the known one has ended.
func (k *Known) isReplacedBy(f *facts) bool {
	created := f.pod.CreationTimestamp.Time
	switch {
	case !k.Seen || f.pod.UID != "":
		return false
	case !created.IsZero() && !k.CreatedAt.IsZero() && !created.Equal(k.CreatedAt):
		return true
	case !k.Reading.State.Ended() || f.state().Ended():
		return false
	default:
		return f.main == nil || f.main.LastTerminationState.Terminated == nil && f.main.RestartCount <= k.Reading.Restarts
	}
}
