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
