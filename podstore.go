// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/executorpods/watchsource/internal/podwire"
)

// A podStore receives pods in their wire form, or decoded if they came so, and knows the
// resource version of each pod that it has.
type podStore interface {
	podReceiver
	// last returns the last state of a pod. It has the resource version in any case, and the pod
	// if the store keeps it.
	last(key types.UID) (known podwire.Known, ok bool)
}

// A podReceiver has the methods of a [SnapshotsStore], for pods in their wire form or decoded.
type podReceiver interface {
	ResourceVersionObserver
	updatePod(*podwire.Pod)
	deletePod(*podwire.Pod)
	replacePods([]*podwire.Pod)
}

var _ podStore = (*Store)(nil)

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

// A userStore decodes pods for a store of the user.
type userStore struct {
	store   SnapshotsStore
	trimmed bool // see WithTrimmedPods
}

func (u userStore) updatePod(pod *podwire.Pod) { u.store.UpdatePod(u.decoded(pod)) }
func (u userStore) deletePod(pod *podwire.Pod) { u.store.DeletePod(u.decoded(pod)) }

func (u userStore) replacePods(pods []*podwire.Pod) {
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
	podReceiver
	versions map[types.UID]string
}

func newLedger(to podReceiver) *ledger { return &ledger{to, map[types.UID]string{}} }

func (l *ledger) last(key types.UID) (podwire.Known, bool) {
	version, ok := l.versions[key]
	return podwire.Known{Identity: podwire.Identity{ResourceVersion: version}}, ok
}

func (l *ledger) updatePod(pod *podwire.Pod) {
	l.versions[podKeyOf(pod)] = pod.ResourceVersion
	l.podReceiver.updatePod(pod)
}

func (l *ledger) deletePod(pod *podwire.Pod) {
	delete(l.versions, podKeyOf(pod))
	l.podReceiver.deletePod(pod)
}

func (l *ledger) replacePods(pods []*podwire.Pod) {
	l.versions = make(map[types.UID]string, len(pods))
	for _, pod := range pods {
		l.versions[podKeyOf(pod)] = pod.ResourceVersion
	}
	l.podReceiver.replacePods(pods)
}
