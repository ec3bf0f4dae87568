// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// A versionedStore knows the resource version of each pod that it has received.
type versionedStore interface {
	SnapshotsStore
	ResourceVersionObserver
	knownVersion(key types.UID) (resourceVersion string, ok bool)
}

var _ versionedStore = (*Store)(nil)

// withVersions returns the store, with a ledger unless it is a Store. A type that
// embeds a Store needs a ledger, because its methods may not forward every call.
func withVersions(store SnapshotsStore) versionedStore {
	if s, ok := store.(*Store); ok {
		return s
	}
	l := &ledger{SnapshotsStore: store, versions: map[types.UID]string{}}
	l.observer, _ = store.(ResourceVersionObserver)
	return l
}

// ledger notes the versions of the pods that it passes to a store.
type ledger struct {
	SnapshotsStore
	observer ResourceVersionObserver // the store, or nil
	versions map[types.UID]string
}

func (l *ledger) knownVersion(key types.UID) (string, bool) {
	version, ok := l.versions[key]
	return version, ok
}

func (l *ledger) UpdatePod(pod *corev1.Pod) {
	l.versions[podKeyOf(pod)] = pod.ResourceVersion
	l.SnapshotsStore.UpdatePod(pod)
}

func (l *ledger) DeletePod(pod *corev1.Pod) {
	delete(l.versions, podKeyOf(pod))
	l.SnapshotsStore.DeletePod(pod)
}

func (l *ledger) ReplaceSnapshot(pods []*corev1.Pod) {
	l.versions = make(map[types.UID]string, len(pods))
	for _, pod := range pods {
		l.versions[podKeyOf(pod)] = pod.ResourceVersion
	}
	l.SnapshotsStore.ReplaceSnapshot(pods)
}

func (l *ledger) ObserveResourceVersion(resourceVersion string) {
	if l.observer != nil {
		l.observer.ObserveResourceVersion(resourceVersion)
	}
}
