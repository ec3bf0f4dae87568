// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/watchtest"
)

// feedsCases are the cases of TestFeeds. Each returns the store of a source, and the store that the
// test asks for.
var feedsCases = []struct {
	name string
	make func() (of, asked watchsource.SnapshotsStore)
	want bool
}{
	{name: "its Store", want: true, make: func() (of, asked watchsource.SnapshotsStore) {
		s := watchsource.NewStore()
		return s, s
	}},
	{name: "another Store", make: func() (of, asked watchsource.SnapshotsStore) {
		return watchsource.NewStore(), watchsource.NewStore()
	}},
	{name: "its StoreBy", want: true, make: func() (of, asked watchsource.SnapshotsStore) {
		s := storeByName()
		return s, s
	}},
	{name: "another StoreBy", make: func() (of, asked watchsource.SnapshotsStore) { return storeByName(), storeByName() }},
	{name: "a Store beside its StoreBy", make: func() (of, asked watchsource.SnapshotsStore) {
		return storeByName(), watchsource.NewStore()
	}},
	{name: "a Store in its Tee", want: true, make: func() (of, asked watchsource.SnapshotsStore) {
		s := watchsource.NewStore()
		return watchsource.Tee(storeByName(), watchsource.Tee(watchsource.NewStore(), s)), s
	}},
	{name: "a Store that is not in its Tee", make: func() (of, asked watchsource.SnapshotsStore) {
		return watchsource.Tee(watchsource.NewStore(), watchsource.Tee(storeByName())), watchsource.NewStore()
	}},
	{name: "its Tee", want: true, make: func() (of, asked watchsource.SnapshotsStore) {
		tee := watchsource.Tee(watchsource.NewStore(), storeByName())
		return tee, tee
	}},
	{name: "a Tee with its Store and another one", make: func() (of, asked watchsource.SnapshotsStore) {
		s := watchsource.NewStore()
		return s, watchsource.Tee(s, watchsource.NewStore())
	}},
	{name: "a Store that its store embeds", want: true, make: func() (of, asked watchsource.SnapshotsStore) {
		s := watchsource.NewStore()
		return &embeddingStore{s, &recordingStore{}}, s
	}},
	{name: "a type that embeds its Store", want: true, make: func() (of, asked watchsource.SnapshotsStore) {
		s := watchsource.NewStore()
		return s, embeddingStore{s, &recordingStore{}}
	}},
	{name: "a store of the user", want: true, make: func() (of, asked watchsource.SnapshotsStore) {
		return &recordingStore{}, watchsource.NewStore()
	}},
	{name: "a function as a store", want: true, make: func() (of, asked watchsource.SnapshotsStore) {
		return newFuncStore(&recordingStore{}), watchsource.NewStore()
	}},
	{name: "a store of the user in a Tee", want: true, make: func() (of, asked watchsource.SnapshotsStore) {
		return watchsource.Tee(watchsource.NewStore(), watchsource.Tee(&recordingStore{})), watchsource.NewStore()
	}},
	{name: "a store of the user that embeds another Store", want: true, make: func() (of, asked watchsource.SnapshotsStore) {
		return embeddingStore{watchsource.NewStore(), &recordingStore{}}, watchsource.NewStore()
	}},
	{name: "a store of the user beside its Store", make: func() (of, asked watchsource.SnapshotsStore) {
		return watchsource.NewStore(), newFuncStore(&recordingStore{})
	}},
	{name: "nil", make: func() (of, asked watchsource.SnapshotsStore) { return &recordingStore{}, nil }},
	{name: "a nil Store", make: func() (of, asked watchsource.SnapshotsStore) {
		return &recordingStore{}, (*watchsource.Store)(nil)
	}},
	{name: "a Store, of a source without a store", make: func() (of, asked watchsource.SnapshotsStore) {
		return nil, watchsource.NewStore()
	}},
}

func storeByName() *watchsource.StoreBy[string] {
	return watchsource.NewStoreBy(func(pod metav1.Object) (string, bool) { return pod.GetName(), true })
}

// A source knows the stores that it feeds before its Start, while it is started, and after Stop.
func TestFeeds(t *testing.T) {
	for _, c := range feedsCases {
		eachCaseInBubble(t, c.name, func(t *testing.T, newSource modeltest.NewSource) {
			of, asked := c.make()
			source := newSource(of, watchtest.NewServer().Client())
			feeds := func(when string) {
				t.Helper()
				if got := source.Feeds(asked); got != c.want {
					t.Errorf("Feeds %s = %v, want %v", when, got, c.want)
				}
			}
			feeds("before Start")
			if of == nil {
				return
			}
			start(t, source, "app")
			feeds("after Start")
			source.Stop()
			feeds("after Stop")
		})
	}
}
