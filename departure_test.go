// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/internal/test/podtest"
	"github.com/executorpods/watchsource/watchtest"
)

// departuresOf waits for what a store shows for a time, and lists how executors left.
func departuresOf(t *testing.T, store *watchsource.Store, d time.Duration) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	var all []string
	for batch := range store.Batches(ctx, 0) {
		for _, c := range batch.Changes {
			if gone := c.After.State == watchsource.Deleted; gone != (c.Gone != 0) {
				t.Errorf("%s is %v, and has left as %q", c.After.Name, c.After.State, c.Gone)
			}
			if c.Gone != 0 {
				all = append(all, fmt.Sprintf("%s %v", c.After.Name, c.Gone))
			}
		}
	}
	return strings.Join(all, ", ")
}

// Each way in which an executor leaves the view of a source.
var ways = []struct {
	name  string
	leave func(*watchtest.Server)
	// want is how it has left, and wantShared what that is on a shared watch if it differs.
	want, wantShared string
}{
	{name: "deleted", leave: deleteFirst, want: "exec-1 Seen"},
	{
		name:  "deleted with a grace period",
		leave: func(s *watchtest.Server) { s.Update(podtest.Namespace, "exec-1", deleting); deleteFirst(s) },
		want:  "exec-1 Seen",
	},
	{
		name: "its labels belong to another application", want: "exec-1 Seen", wantShared: "exec-1 Unselected",
		leave: func(s *watchtest.Server) {
			s.Update(podtest.Namespace, "exec-1", label(watchsource.LabelApp, "other"))
		},
	},
	{
		name: "its labels belong to no application", want: "exec-1 Seen",
		leave: func(s *watchtest.Server) {
			s.Update(podtest.Namespace, "exec-1", label(watchsource.LabelRole, "other"))
		},
	},
	{
		name: "deleted while no watch could be resumed", want: "exec-1 Missed",
		leave: func(s *watchtest.Server) { cutAndCompact(s, deleteFirst) },
	},
	{
		name: "replaced while no watch could be resumed", want: "exec-1 Missed",
		leave: func(s *watchtest.Server) {
			cutAndCompact(s, func(s *watchtest.Server) { deleteFirst(s); s.Create(pod("1", uid("new"))) })
		},
	},
	{
		name: "deleted and created again", want: "exec-1 Seen",
		leave: func(s *watchtest.Server) { deleteFirst(s); s.Create(pod("1", uid("new"))) },
	},
	{
		name: "the event is lost", want: "exec-1 Missed",
		leave: func(s *watchtest.Server) { lose(s, 1, deleteFirst) },
	},
}

// cutAndCompact changes pods while the watch is cut and the server forgets its history.
func cutAndCompact(s *watchtest.Server, change func(*watchtest.Server)) {
	lift := s.Inject(watchtest.Fault{On: watchtest.Watch, Do: watchtest.Refuse()})
	s.Strike(watchtest.Reset())
	change(s)
	s.Compact()
	lift()
}

func TestDepartures(t *testing.T) {
	for _, way := range ways {
		eachCaseInBubble(t, way.name, func(t *testing.T, newSource modeltest.NewSource) {
			e := newEnv(t, newSource)
			e.create("1", phase(corev1.PodRunning))
			e.create("3")
			e.start(watchsource.WithVerification(time.Minute))
			time.AfterFunc(time.Second, func() { way.leave(e.server) })
			got := departuresOf(t, e.store, 10*time.Minute)
			want := way.want
			if strings.Contains(t.Name(), "shared") && way.wantShared != "" {
				want = way.wantShared
			}
			if got != want {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}

// client-go's fake clientset shows the new labels to any watch.
func TestDepartureOnAFake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, store := fake.NewClientset(pod("1"), pod("2")), watchsource.NewStore()
		source := watchsource.NewWatchSnapshotSource(store, client)
		start(t, source, "app")
		defer source.Stop()
		time.AfterFunc(time.Second, func() {
			moved := pod("1", label(watchsource.LabelApp, "other"))
			if _, err := client.CoreV1().Pods(moved.Namespace).Update(t.Context(), moved, metav1.UpdateOptions{}); err != nil {
				t.Error(err)
			}
			remove(t, client, pod("2"))
		})
		if got := departuresOf(t, store, time.Minute); got != "exec-1 Unselected, exec-2 Seen" {
			t.Errorf("%q, want exec-1 Unselected, exec-2 Seen", got)
		}
	})
}

// A pod without an event of its deletion, whose name another pod has.
func TestDepartureOfANamesake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := watchsource.NewStore()
		store.UpdatePod(pod("1", uid("old")))
		time.AfterFunc(time.Second, func() { store.UpdatePod(pod("1", uid("new"))) })
		if got := departuresOf(t, store, time.Minute); got != "exec-1 Missed" {
			t.Errorf("%q, want exec-1 Missed", got)
		}
	})
}
