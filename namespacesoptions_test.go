// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/watchtest"
)

// The names that WithNamespaces takes.

// Of several options the last one counts, and one name is the same as WithNamespace.
func TestNamespacesOfTheLastOption(t *testing.T) {
	one, several := watchsource.WithNamespace("a"), watchsource.WithNamespaces("b", "c")
	for name, test := range map[string]struct {
		options []watchsource.Option
		want    string
	}{
		"one, then several": {options: []watchsource.Option{one, several}, want: "b c"},
		"several, then one": {options: []watchsource.Option{several, one}, want: "a"},
		"several, then all": {options: []watchsource.Option{several, watchsource.WithNamespace("")}, want: ""},
		"one of several":    {options: []watchsource.Option{watchsource.WithNamespaces("c")}, want: "c"},
	} {
		inBubble(t, name, func(t *testing.T) {
			server := watchtest.NewServer()
			source := watchsource.NewWatchSnapshotSource(watchsource.NewStore(), server.Client(), test.options...)
			start(t, source, "app")
			defer source.Stop()
			var watched []string
			for _, r := range server.Requests() {
				watched = append(watched, r.Namespace)
			}
			slices.Sort(watched)
			if got := strings.Join(watched, " "); got != test.want {
				t.Errorf("requests in the namespaces %q, want %q", got, test.want)
			}
		})
	}
}

// Start refuses names that cannot be watched, with an error that says what to do, and makes no
// request.
func TestNamespacesBadNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct {
			option watchsource.Option
			more   watchsource.Option
			want   string
		}{
			{option: watchsource.WithNamespaces(), want: "has no name: name at least one"},
			{option: watchsource.WithNamespaces([]string{}...), want: "has no name"},
			{option: watchsource.WithNamespaces("a", "b", "a"), want: `"a" twice: give each name once`},
			{option: watchsource.WithNamespaces("a", ""), want: "an empty name: leave the name out"},
			{option: watchsource.WithNamespaces(""), want: "an empty name"},
			{option: watchsource.WithNamespaces("Jobs"), want: `"Jobs" cannot be the name of a namespace`},
			{option: watchsource.WithNamespaces("a,b"), want: `"a,b" cannot be`},
			{option: watchsource.WithNamespaces("a", "b"), more: watchsource.WithShard(0, 2), want: `WithNamespaces("a", "b"): leave one of them out`},
			{option: watchsource.WithNamespaces("a"), more: watchsource.WithShard(0, 2), want: `WithNamespaces("a"): leave one of them out`},
		} {
			server := watchtest.NewServer()
			for name, newSource := range map[string]func() *watchsource.WatchSnapshotSource{
				"own watch": func() *watchsource.WatchSnapshotSource {
					return watchsource.NewWatchSnapshotSource(watchsource.NewStore(), server.Client(), test.option, test.more)
				},
				"shared watch": func() *watchsource.WatchSnapshotSource {
					return watchsource.NewSharedWatch(server.Client(), test.option, test.more).Source(watchsource.NewStore())
				},
			} {
				err := newSource().Start("app")
				if err == nil || !strings.HasPrefix(err.Error(), "watchsource: start: With") || !strings.Contains(err.Error(), test.want) {
					t.Errorf("%s: Start = %v, want %q", name, err, test.want)
				}
			}
			if n := len(server.Requests()); n > 0 {
				t.Errorf("%d requests, want none", n)
			}
		}
	})
}

// A SharedWatch has one watch. It says what to use for several namespaces, and takes one.
func TestNamespacesOfASharedWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		err := watchsource.NewSharedWatch(server.Client(), watchsource.WithNamespaces("a", "b")).Source(watchsource.NewStore()).Start("app")
		const want = `watchsource: start: WithNamespaces("a", "b") on a SharedWatch, which watches one namespace or all: ` +
			`make one SharedWatch for each namespace, or one source with NewWatchSnapshotSource that feeds a StoreBy`
		if err == nil || err.Error() != want {
			t.Errorf("Start = %v, want %s", err, want)
		}
		shared := watchsource.NewSharedWatch(server.Client(), watchsource.WithNamespaces("a"))
		store, source := startShared(t, shared, "app")
		defer source.Stop()
		server.Create(podIn("a", "1"))
		server.Create(podIn("b", "1"))
		wantNames(t, store, "exec-a-1=Pending")
	})
}

// The caller may use the slice of the names again.
func TestNamespacesAreCopied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		names := []string{"a", "b"}
		option := watchsource.WithNamespaces(names...)
		names[0] = "b"
		source := watchsource.NewWatchSnapshotSource(watchsource.NewStore(), watchtest.NewServer().Client(), option)
		start(t, source, "app")
		source.Stop()
	})
}
