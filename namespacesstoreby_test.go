// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/watchtest"
)

// A StoreBy is fed by several watches too: a relist of one namespace changes the owners in it only,
// and all owners have the version and the time of the oldest.
func TestNamespacesFeedAStoreBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		env := newNamespacesEnv(t)
		env.create("a", "1")
		env.create("b", "1")
		env.create("b", "2")
		store := watchsource.NewStoreBy(func(p metav1.Object) (string, bool) { return p.GetNamespace(), true })
		env.startFor(store)
		first, synced := env.server.ResourceVersion(), time.Now()
		time.Sleep(30 * time.Second)
		lift := env.server.Inject(watchtest.Fault{Do: watchtest.Refuse()})
		env.strike("b", watchtest.Reset())
		synctest.Wait()
		env.delete("b", "1")
		env.server.Compact()
		lift()
		env.create("a", "2")
		time.Sleep(10 * time.Second)
		if got := slices.Sorted(store.Owners()); !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("owners %q, want a and b", got)
		}
		for owner, want := range map[string]string{"a": "exec-a-1=Running exec-a-2=Running", "b": "exec-b-2=Running"} {
			s := store.Snapshot(owner)
			if got := names(s); got != want || s.ResourceVersion() != first || !s.SyncedAt().Equal(synced) {
				t.Errorf("%s has %q at version %s, synced at %v; want %q at %s, %v", owner, got, s.ResourceVersion(), s.SyncedAt(), want, first, synced)
			}
		}
	})
}

// A store behind a Tee, or in a type that embeds it, receives pods without the version up to which it is
// complete. It must not take the version of a pod for that.
func TestNamespacesVersionOfAForwardedStore(t *testing.T) {
	for name, forward := range map[string]func(watchsource.SnapshotsStore) watchsource.SnapshotsStore{
		"Tee": func(s watchsource.SnapshotsStore) watchsource.SnapshotsStore { return watchsource.Tee(s) },
		"embedded": func(s watchsource.SnapshotsStore) watchsource.SnapshotsStore {
			return struct{ *watchsource.Store }{s.(*watchsource.Store)}
		},
		"the store": func(s watchsource.SnapshotsStore) watchsource.SnapshotsStore { return s },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				env := newNamespacesEnv(t)
				env.startFor(forward(env.store))
				env.strike("b", watchtest.Silence())
				missed := env.create("b", "1").ResourceVersion
				env.create("a", "1")
				env.create("a", "2")
				env.server.Delete("a", "exec-a-1")
				env.want("a-2")
				if s := env.store.Snapshot(); s.Contains(missed) {
					t.Errorf("the snapshot at version %s lacks exec-b-1 and contains its version %s", s.ResourceVersion(), missed)
				}
			})
		})
	}
}
