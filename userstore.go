// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/executorpods/watchsource/internal/podwire"
	"github.com/executorpods/watchsource/internal/waiting"
)

// A userStore decodes pods for a store of the user.
type userStore struct {
	store   SnapshotsStore
	trimmed bool // see WithTrimmedPods
}

func (u userStore) UpdatePod(pod *podwire.Pod) { u.store.UpdatePod(u.decoded(pod)) }
func (u userStore) DeletePod(pod *podwire.Pod) { u.store.DeletePod(u.decoded(pod)) }

func (u userStore) ReplacePods(pods []*podwire.Pod) {
	all := make([]*corev1.Pod, len(pods))
	for i, pod := range pods {
		all[i] = u.decoded(pod)
	}
	u.store.ReplaceSnapshot(all)
}

// decoded returns the whole or the trimmed pod. The decoder has checked each pod in its wire
// form, so decoding cannot fail.
func (u userStore) decoded(pod *podwire.Pod) *corev1.Pod {
	decode := pod.Decoded
	if u.trimmed {
		decode = pod.Trimmed
	}
	decoded, err := decode()
	if err != nil {
		panic(fmt.Sprintf("watchsource: a pod was validated and cannot be decoded: %v", err))
	}
	return decoded
}

func (u userStore) ObserveResourceVersion(resourceVersion string) {
	if observer, ok := u.store.(ResourceVersionObserver); ok {
		observer.ObserveResourceVersion(resourceVersion)
	}
}

// A ledger passes calls on and notes the version of each pod, for a store that cannot be asked
// for them.
type ledger struct {
	to       waiting.Receiver
	versions map[types.UID]string
}

func newLedger(to waiting.Receiver) *ledger { return &ledger{to, map[types.UID]string{}} }

// last implements podStore, as the following methods do.
func (l *ledger) last(key types.UID) (podwire.Known, bool) {
	version, ok := l.versions[key]
	return podwire.Known{Identity: podwire.Identity{ResourceVersion: version}}, ok
}

func (l *ledger) updatePod(pod *podwire.Pod) {
	l.versions[pod.Key()] = pod.ResourceVersion
	l.to.UpdatePod(pod)
}

func (l *ledger) deletePod(pod *podwire.Pod) {
	delete(l.versions, pod.Key())
	l.to.DeletePod(pod)
}

func (l *ledger) replacePods(pods []*podwire.Pod) {
	l.versions = make(map[types.UID]string, len(pods))
	for _, pod := range pods {
		l.versions[pod.Key()] = pod.ResourceVersion
	}
	l.to.ReplacePods(pods)
}

func (l *ledger) ObserveResourceVersion(resourceVersion string) {
	l.to.ObserveResourceVersion(resourceVersion)
}
