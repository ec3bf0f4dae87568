// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/watchtest"
)

// Servers that are restored from a backup, and count their versions again.

// readerCounts counts the changes that a reader of Batches receives, by executor name.
type readerCounts struct {
	ended, deleted map[string]int
}

// countChanges counts the changes of a store's batches until the test ends.
func countChanges(t *testing.T, store *watchsource.Store) *readerCounts {
	seen := &readerCounts{ended: map[string]int{}, deleted: map[string]int{}}
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	go func() {
		for batch := range store.Batches(ctx, 0) {
			for _, c := range batch.Changes {
				switch {
				case c.After.State == watchsource.Deleted:
					seen.deleted[c.After.Name]++
				case c.After.State.Ended() && (c.Before == nil || !c.Before.State.Ended()):
					seen.ended[c.After.Name]++
				}
			}
		}
	}()
	synctest.Wait()
	return seen
}

// backupServers are the cases of TestServerRestoredFromBackup.
var backupServers = []struct {
	name   string
	server []watchtest.Option
	// noBookmarks says that the server sends no bookmarks in watches.
	noBookmarks bool
	// denyList says that the client has the verb watch but not list.
	denyList bool
	// before is the time between Start and the restore.
	before time.Duration
}{
	{name: "older bookmarks", before: time.Minute},
	{name: "no streaming lists", server: []watchtest.Option{watchtest.WithoutStreamingLists()}, before: time.Minute},
	{name: "no bookmarks", noBookmarks: true, before: time.Minute},
	{name: "no bookmarks and no right to list", noBookmarks: true, denyList: true, before: time.Minute},
	{name: "no bookmarks after hours of silence", noBookmarks: true, before: 5 * time.Hour},
	{
		name: "no bookmarks and no streaming lists", server: []watchtest.Option{watchtest.WithoutStreamingLists()},
		noBookmarks: true, before: 7 * time.Minute,
	},
}

// A server that is restored from a backup uses its versions again (kubernetes issue 107457,
// etcd issue 16028). It accepts a watch from a version that it has not reached, and sends no
// events up to that version.
func TestServerRestoredFromBackup(t *testing.T) {
	for _, test := range backupServers {
		eachCaseInBubble(t, test.name, func(t *testing.T, newSource modeltest.NewSource) {
			env := newEnv(t, newSource, test.server...)
			if test.noBookmarks {
				env.server.Inject(watchtest.Fault{On: watchtest.Watch | watchtest.StreamingList, Do: watchtest.OmitBookmarks()})
			}
			if test.denyList {
				env.server.Inject(watchtest.Fault{On: watchtest.List, Do: watchtest.Answer(forbidden)})
			}
			for _, id := range []string{"ends before", "ends after", "ends twice", "lives"} {
				env.create(id, phase(corev1.PodRunning))
			}
			env.start()
			seen := countChanges(t, env.store)
			time.Sleep(test.before)

			restore := env.server.Backup()
			env.update("ends before", phase(corev1.PodFailed))
			env.update("ends twice", phase(corev1.PodFailed))
			env.update("lives", phase(corev1.PodRunning))
			env.create("new", phase(corev1.PodRunning))
			env.server.Advance(1000)
			env.update("lives", phase(corev1.PodRunning))
			synctest.Wait()
			restore()
			env.update("ends after", phase(corev1.PodFailed))
			time.Sleep(5 * time.Minute)
			env.wantEqualToList()
			if got := env.source.Status().Relists; got != 1 {
				t.Errorf("%d relists, want 1", got)
			}

			// From here on the view follows the new history.
			env.update("ends twice", phase(corev1.PodFailed))
			env.delete("lives")
			env.wantEqualToList()
			if got, want := fmt.Sprint(seen.ended), "map[exec-ends after:1 exec-ends before:1 exec-ends twice:2]"; got != want {
				t.Errorf("the reader received the ends %s, want %s", got, want)
			}
			if got, want := fmt.Sprint(seen.deleted), "map[exec-lives:1 exec-new:1]"; got != want {
				t.Errorf("the reader received the deletions %s, want %s", got, want)
			}
		})
	}
}

// A busy restored server passes the version that the source holds before the watch is silent
// for long enough to be noticed. The source therefore requests the server's version after
// an outage.
func TestBusyServerRestoredFromBackup(t *testing.T) {
	for name, away := range map[string]watchtest.Effect{
		"refused": watchtest.Refuse(), "503": watchtest.Answer(apierrors.NewServiceUnavailable("starting")), "reset": watchtest.Reset(),
	} {
		eachCaseInBubble(t, name, func(t *testing.T, newSource modeltest.NewSource) {
			env := newEnv(t, newSource)
			env.server.Inject(watchtest.Fault{On: watchtest.Watch | watchtest.StreamingList, Do: watchtest.OmitBookmarks()})
			env.create("1", phase(corev1.PodRunning))
			env.create("2", phase(corev1.PodRunning))
			env.start()
			time.Sleep(time.Minute)
			restore := env.server.Backup()
			env.server.Advance(1000)
			env.update("2", phase(corev1.PodRunning))
			synctest.Wait()
			lift := env.server.Inject(watchtest.Fault{Do: away})
			restore()
			env.delete("1") // at a lower version than the source has
			time.Sleep(3 * time.Second)
			lift()
			for range 600 {
				env.update("2", phase(corev1.PodRunning))
				env.server.Advance(20)
				time.Sleep(100 * time.Millisecond)
			}
			env.wantEqualToList()
			if got := env.source.Status().Relists; got != 1 {
				t.Errorf("%d relists, want 1", got)
			}
		})
	}
}

// The source learns of the new history from a list: after a 410, or if it is started again
// with the same store.
func TestListOfAnEarlierHistory(t *testing.T) {
	for _, again := range []bool{false, true} {
		eachCaseInBubble(t, fmt.Sprintf("started again %v", again), func(t *testing.T, newSource modeltest.NewSource) {
			server := watchtest.NewServer()
			server.Create(pod("1", phase(corev1.PodPending)))
			memory, recorder := watchsource.NewStore(), &recordingStore{}
			source := startSource(t, newSource, server, watchsource.Tee(memory, recorder))
			seen := countChanges(t, memory)

			restore := server.Backup()
			server.Advance(1000)
			server.Update("jobs", "exec-1", phase(corev1.PodRunning))
			synctest.Wait()
			if again {
				source.Stop()
				restore()
				start(t, source, "app")
				seen = countChanges(t, memory) // the reader before it has ended with Stop
			} else {
				server.Inject(watchtest.Fault{On: watchtest.Watch, Times: 1, Do: watchtest.Answer(expired)})
				restore()
			}
			time.Sleep(time.Second)
			wantEqualToList(t, server, memory)
			server.Update("jobs", "exec-1", phase(corev1.PodFailed))
			wantEqualToList(t, server, memory)
			if seen.ended["exec-1"] != 1 {
				t.Errorf("the reader received the end %d times, want 1", seen.ended["exec-1"])
			}
			want := []string{"replace exec-1", "update exec-1", "replace exec-1", "update exec-1"}
			if got := recorder.all(); !slices.Equal(got, want) {
				t.Errorf("the other store received %q, want %q", got, want)
			}
		})
	}
}
