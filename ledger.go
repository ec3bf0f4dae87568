// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// A knowingStore can say which pods it has been told of, and at which resource
// version, so that nobody has to keep that beside it.
type knowingStore interface {
	SnapshotsStore
	resourceVersionObserver
	toldOf(life types.UID) (resourceVersion string, ok bool)
}

var _ knowingStore = (*Store)(nil)

// knowing returns the store, with a ledger if it needs one. A store that embeds a
// Store needs one: it may keep from that what it likes.
func knowing(store SnapshotsStore) knowingStore {
	if s, ok := store.(*Store); ok {
		return s
	}
	l := &ledger{SnapshotsStore: store, versions: map[types.UID]string{}}
	l.observer, _ = store.(resourceVersionObserver)
	return l
}

// ledger stands before a store and notes what that is told.
type ledger struct {
	SnapshotsStore
	observer resourceVersionObserver // the store, nil if it is none
	versions map[types.UID]string
}

func (l *ledger) toldOf(life types.UID) (string, bool) {
	version, ok := l.versions[life]
	return version, ok
}

func (l *ledger) UpdatePod(pod *corev1.Pod) {
	l.versions[lifeOf(pod)] = pod.ResourceVersion
	l.SnapshotsStore.UpdatePod(pod)
}

func (l *ledger) DeletePod(pod *corev1.Pod) {
	delete(l.versions, lifeOf(pod))
	l.SnapshotsStore.DeletePod(pod)
}

func (l *ledger) ReplaceSnapshot(pods []*corev1.Pod) {
	l.versions = make(map[types.UID]string, len(pods))
	for _, pod := range pods {
		l.versions[lifeOf(pod)] = pod.ResourceVersion
	}
	l.SnapshotsStore.ReplaceSnapshot(pods)
}

func (l *ledger) ObserveResourceVersion(resourceVersion string) {
	if l.observer != nil {
		l.observer.ObserveResourceVersion(resourceVersion)
	}
}
