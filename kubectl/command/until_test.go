// SPDX-License-Identifier: Apache-2.0

package command

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/executorpods/watchsource/watchtest"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestUntilEnded(t *testing.T) {
	for _, row := range []struct {
		name    string
		code    int32
		args    []string
		want    error
		summary string
	}{
		{"well", 0, []string{"--exit-status"}, nil, "All executors of app-a have ended: Completed 2.\n"},
		{"failed", 1, []string{"--exit-status"}, errFailed, "All executors of app-a have ended: exit 1 2.\n"},
		{"failed, without --exit-status", 1, nil, nil, "All executors of app-a have ended: exit 1 2.\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := watchtest.NewServer()
				c := startCall(t, server, append([]string{"app-a", "--until-ended"}, row.args...)...)
				time.Sleep(time.Hour) // there has been no executor yet
				server.Create(pod("jobs", "app-a", 1, running))
				time.Sleep(time.Minute)
				server.Update("jobs", "app-a-exec-1", ended(row.code, "Error"))
				time.Sleep(9 * time.Second)
				server.Create(pod("jobs", "app-a", 2, running)) // in time
				server.Delete("jobs", "app-a-exec-1")
				time.Sleep(time.Minute)
				server.Update("jobs", "app-a-exec-2", ended(row.code, "Error"))
				server.Delete("jobs", "app-a-exec-2")
				time.Sleep(9 * time.Second)
				synctest.Wait()
				select {
				case err := <-c.done:
					t.Fatalf("ended with %v before the settle time, want it to wait", err)
				default:
				}
				if err := <-c.done; !errors.Is(err, row.want) {
					t.Errorf("err = %v, want %v", err, row.want)
				}
				if got := c.errOut.String(); got != row.summary {
					t.Errorf("got %q, want %q", got, row.summary)
				}
			})
		})
	}
}

// An executor that is deleted while it runs has not failed.
func TestUntilEndedDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		server.Create(pod("jobs", "app-a", 1, running))
		c := startCall(t, server, "app-a", "--until-ended", "--exit-status", "--settle=1s")
		server.Update("jobs", "app-a-exec-1", func(pod *corev1.Pod) { pod.DeletionTimestamp = new(metav1.Now()) })
		server.Update("jobs", "app-a-exec-1", ended(143, "Error"))
		server.Delete("jobs", "app-a-exec-1")
		if err := <-c.done; err != nil {
			t.Errorf("err = %v, want nil", err)
		}
	})
}

// While the watch is broken there may be executors that it cannot show.
func TestUntilEndedWaitsForTheWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		server.Create(pod("jobs", "app-a", 1, running))
		c := startCall(t, server, "app-a", "--until-ended")
		server.Update("jobs", "app-a-exec-1", ended(0, "Completed"))
		time.Sleep(time.Second)
		lift := server.Inject(watchtest.Fault{Do: watchtest.Answer(apierrors.NewServiceUnavailable("leader changed"))})
		server.Strike(watchtest.Reset())
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		select {
		case err := <-c.done:
			t.Fatalf("ended with %v while the watch was broken, want it to wait", err)
		default:
		}
		lift()
		if err := <-c.done; err != nil {
			t.Errorf("err = %v, want nil", err)
		}
	})
}

func TestUntilEndedStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := startCall(t, watchtest.NewServer(), "app-a", "--until-ended")
		c.cancel()
		if err := <-c.done; err == nil {
			t.Error("err = nil, want one: the executors have not ended")
		}
	})
}
