// SPDX-License-Identifier: Apache-2.0

package watchtest_test

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/executorpods/watchsource/watchtest"
)

func TestBackup(t *testing.T) {
	inBoth(t, func(t *testing.T, client func(*watchtest.Server) kubernetes.Interface) {
		srv := watchtest.NewServer()
		srv.Create(executor("a"))
		first := srv.Create(executor("b"))
		restore := srv.Backup()
		srv.Delete("default", "a")
		srv.Update("default", "b", func(pod *corev1.Pod) { pod.Status.Phase = corev1.PodFailed })
		srv.Create(executor("c"))
		open := openWatch(t, client(srv), metav1.ListOptions{ResourceVersion: "99995"})

		for range 2 { // restore can be called again
			restore()
			if got := names(srv.List("")); !slices.Equal(got, []string{"a", "b"}) || srv.ResourceVersion() != "99992" {
				t.Errorf("pods %q at version %s, want those of the backup at 99992", got, srv.ResourceVersion())
			}
			if other := srv.Create(executor("d")); other.ResourceVersion != "99993" || other.UID == first.UID {
				t.Errorf("created %s at version %s, want another UID and 99993", other.UID, other.ResourceVersion)
			}
		}
		if got := drain(open); got[len(got)-1] != "closed" {
			t.Errorf("a stream from before the restore: got %q and no end, want it closed", got)
		}
	})
}

// The server accepts a watch from a future version and sends no event up to that version.
func TestWatchAfterRestore(t *testing.T) {
	inBoth(t, func(t *testing.T, client func(*watchtest.Server) kubernetes.Interface) {
		srv := watchtest.NewServer()
		srv.Create(executor("a"))
		restore := srv.Backup()
		srv.Advance(2)
		restore()
		ahead := openWatch(t, client(srv), metav1.ListOptions{ResourceVersion: "99993", AllowWatchBookmarks: true})
		srv.Create(executor("b"))
		time.Sleep(time.Minute)
		expect(t, ahead, "BOOKMARK 99992")
		srv.Create(executor("c"))
		srv.Create(executor("d"))
		expect(t, ahead, "ADDED d 99994")

		_, err := client(srv).CoreV1().Pods("").List(t.Context(), metav1.ListOptions{
			ResourceVersion: "99990", ResourceVersionMatch: metav1.ResourceVersionMatchExact,
		})
		if !apierrors.IsResourceExpired(err) {
			t.Errorf("a LIST from before the backup: err = %v, want Expired", err)
		}
	})
}

// A restore drops the events that a client has not read yet.
func TestRestoreLosesWhatIsOnItsWay(t *testing.T) {
	inBoth(t, func(t *testing.T, client func(*watchtest.Server) kubernetes.Interface) {
		srv := watchtest.NewServer()
		w := openWatch(t, client(srv), metav1.ListOptions{ResourceVersion: "99990"})
		restore := srv.Backup()
		lift := srv.Strike(watchtest.Silence())
		srv.Create(executor("a"))
		restore()
		lift()
		expect(t, w, "closed")
	})
}
