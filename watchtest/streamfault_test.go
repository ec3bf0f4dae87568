// SPDX-License-Identifier: Apache-2.0

package watchtest_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/executorpods/watchsource/watchtest"
)

// Faults of open streams.

func TestCut(t *testing.T) {
	inBoth(t, func(t *testing.T, client func(*watchtest.Server) kubernetes.Interface) {
		srv := watchtest.NewServer()
		w := openWatch(t, client(srv), metav1.ListOptions{})
		srv.Create(executor("a"))
		srv.Strike(watchtest.Cut())
		srv.Create(executor("b"))
		expect(t, w, "ADDED a 99991", "closed")
	})
}

func TestCutAtOpening(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := watchtest.NewServer()
		srv.Create(executor("a"))
		srv.Inject(watchtest.Fault{On: watchtest.Watch, Times: 1, Do: watchtest.Cut()})
		expect(t, openWatch(t, srv.Client(), metav1.ListOptions{}), "closed")
		expect(t, openWatch(t, srv.Client(), metav1.ListOptions{}), "ADDED a 99991")
	})
}

// The stream ends in the middle of the initial events of a streaming list.
func TestCutAfterFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := watchtest.NewServer()
		for _, name := range []string{"a", "b", "c"} {
			srv.Create(executor(name))
		}
		srv.Inject(watchtest.Fault{On: watchtest.StreamingList, After: 2, Times: 1, Do: watchtest.Cut()})
		expect(t, openWatch(t, srv.Client(), streamingList()), "ADDED a 99991", "ADDED b 99992", "closed")
	})
}

// client-go reports a reset as the end of the stream.
func TestResetOpenStream(t *testing.T) {
	inBoth(t, func(t *testing.T, client func(*watchtest.Server) kubernetes.Interface) {
		srv := watchtest.NewServer()
		w := openWatch(t, client(srv), metav1.ListOptions{})
		srv.Create(executor("a"))
		srv.Strike(watchtest.Reset())
		expect(t, w, "ADDED a 99991", "closed")
	})
}

// client-go reports other transport errors as an event with a status.
func TestBreakOpenStream(t *testing.T) {
	inBoth(t, func(t *testing.T, client func(*watchtest.Server) kubernetes.Interface) {
		srv := watchtest.NewServer()
		w := openWatch(t, client(srv), metav1.ListOptions{})
		srv.Strike(watchtest.Break(errors.New("http2: client connection lost")))
		got := drain(w)
		if len(got) != 2 || !strings.Contains(got[0], "http2: client connection lost") || got[1] != "closed" {
			t.Errorf("events = %q, want a lost connection and the end", got)
		}
	})
}

func TestTear(t *testing.T) {
	inBoth(t, func(t *testing.T, client func(*watchtest.Server) kubernetes.Interface) {
		srv := watchtest.NewServer()
		w := openWatch(t, client(srv), metav1.ListOptions{})
		srv.Create(executor("a"))
		srv.Strike(watchtest.Tear())
		expect(t, w, "ADDED a 99991")
		srv.Create(executor("b"))
		srv.Create(executor("c"))
		expect(t, w, "closed")
		if open := len(srv.Streams()); open != 0 {
			t.Errorf("%d streams are open, want 0", open)
		}
	})
}

func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := watchtest.NewServer()
		w := openWatch(t, srv.Client(), metav1.ListOptions{AllowWatchBookmarks: true, TimeoutSeconds: new(int64(300))})
		drain(w)
		lift := srv.Strike(watchtest.Silence())
		srv.Create(executor("a"))
		time.Sleep(time.Hour)
		expect(t, w)
		lift()
		expect(t, w, "ADDED a 99991", "BOOKMARK 99991", "BOOKMARK 99991", "BOOKMARK 99991", "BOOKMARK 99991", "BOOKMARK 99991", "closed")
	})
}

func TestSilenceOfOneStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := watchtest.NewServer()
		silent := openWatch(t, srv.Client(), metav1.ListOptions{LabelSelector: "app=one"})
		other := openWatch(t, srv.Client(), metav1.ListOptions{})
		for _, st := range srv.Streams() {
			if st.Request().Options.LabelSelector != "" {
				st.Strike(watchtest.Silence())
			}
		}
		srv.Create(executor("a"))
		expect(t, silent)
		expect(t, other, "ADDED a 99991")
	})
}

// A silent connection can still break.
func TestSilentStreamBreaks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := watchtest.NewServer()
		w := openWatch(t, srv.Client(), metav1.ListOptions{})
		srv.Create(executor("a"))
		srv.Strike(watchtest.Silence())
		srv.Create(executor("b"))
		expect(t, w, "ADDED a 99991")
		srv.Strike(watchtest.Cut())
		expect(t, w, "closed")
	})
}

func TestSilentFromOpening(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := watchtest.NewServer()
		lift := srv.Inject(watchtest.Fault{On: watchtest.Watch, Times: 1, Do: watchtest.Silence()})
		silent := openWatch(t, srv.Client(), metav1.ListOptions{})
		other := openWatch(t, srv.Client(), metav1.ListOptions{})
		srv.Create(executor("a"))
		expect(t, silent)
		expect(t, other, "ADDED a 99991")
		lift()
		expect(t, silent, "ADDED a 99991")
	})
}

func TestHangAndAnswerOfOpenStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := watchtest.NewServer()
		w := openWatch(t, srv.Client(), metav1.ListOptions{})
		srv.Strike(watchtest.Delay(time.Hour))
		srv.Strike(watchtest.Answer(apierrors.NewResourceExpired("too old")))
		expect(t, w, "ERROR 410 Expired too old")
		lift := srv.Strike(watchtest.Hang())
		srv.Create(executor("a"))
		expect(t, w)
		lift()
		expect(t, w, "ADDED a 99991")
	})
}

func TestSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := watchtest.NewServer()
		w := openWatch(t, srv.Client(), metav1.ListOptions{})
		srv.Strike(watchtest.Slow(10, time.Second))
		srv.Create(executor("a"))
		time.Sleep(5 * time.Second)
		expect(t, w)
		time.Sleep(time.Minute)
		expect(t, w, "ADDED a 99991")
	})
}

func TestSendRaw(t *testing.T) {
	inBoth(t, func(t *testing.T, client func(*watchtest.Server) kubernetes.Interface) {
		srv := watchtest.NewServer()
		w := openWatch(t, client(srv), metav1.ListOptions{})
		srv.Strike(watchtest.SendRaw([]byte("\x00\x00\x00\x04<html>Bad Gateway</html>")))
		got := drain(w)
		if len(got) != 2 || !strings.HasPrefix(got[0], "ERROR 500 InternalError") || got[1] != "closed" {
			t.Errorf("events = %q, want ERROR 500 InternalError and the end", got)
		}
	})
}

func TestMalform(t *testing.T) {
	inBoth(t, func(t *testing.T, client func(*watchtest.Server) kubernetes.Interface) {
		srv := watchtest.NewServer()
		w := openWatch(t, client(srv), metav1.ListOptions{})
		other := openWatch(t, client(srv), metav1.ListOptions{})
		srv.Streams()[0].Strike(watchtest.Malform())
		srv.Create(executor("a"))
		got := drain(w)
		if len(got) != 2 || !strings.HasPrefix(got[0], "ERROR 500 InternalError") || got[1] != "closed" {
			t.Errorf("events = %q, want ERROR 500 InternalError and the end", got)
		}
		expect(t, other, "ADDED a 99991")
	})
}

func TestSendError(t *testing.T) {
	inBoth(t, func(t *testing.T, client func(*watchtest.Server) kubernetes.Interface) {
		srv := watchtest.NewServer()
		srv.Inject(watchtest.Fault{
			On: watchtest.Watch, Times: 1, After: 1,
			Do: watchtest.SendError(apierrors.NewInternalError(errors.New("etcd is gone"))),
		})
		w := openWatch(t, client(srv), metav1.ListOptions{})
		srv.Create(executor("a"))
		srv.Create(executor("b"))
		expect(t, w, "ADDED a 99991", "ERROR 500 InternalError Internal error occurred: etcd is gone", "ADDED b 99992")
	})
}

func TestOmitInitialEventsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := watchtest.NewServer()
		srv.Create(executor("a"))
		srv.Inject(watchtest.Fault{On: watchtest.StreamingList, Times: 1, Do: watchtest.OmitInitialEventsEnd()})
		w := openWatch(t, srv.Client(), streamingList())
		srv.Create(executor("b"))
		expect(t, w, "ADDED a 99991", "ADDED b 99992")
		time.Sleep(time.Minute)
		expect(t, w, "BOOKMARK 99992")
	})
}

func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := watchtest.NewServer()
		opts := metav1.ListOptions{ResourceVersion: "99990", AllowWatchBookmarks: true}
		old := openWatch(t, srv.Client(), opts)
		lift := srv.Inject(watchtest.Fault{On: watchtest.Watch, Do: watchtest.Idle(3*time.Second, watchtest.Cut())})
		srv.Strike(watchtest.Idle(2*time.Second, watchtest.Reset()))
		w := openWatch(t, srv.Client(), opts)
		time.Sleep(1900 * time.Millisecond)
		srv.Create(executor("a"))
		time.Sleep(1900 * time.Millisecond)
		expect(t, old, "ADDED a 99991")
		time.Sleep(200 * time.Millisecond)
		expect(t, old, "closed")
		expect(t, w, "ADDED a 99991")
		time.Sleep(time.Second)
		expect(t, w, "closed")

		w = openWatch(t, srv.Client(), opts)
		lift()
		time.Sleep(30 * time.Second)
		expect(t, w, "ADDED a 99991")
	})
}

// An effect that does not end the stream applies each time that the stream is idle.
func TestIdleAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := watchtest.NewServer()
		w := openWatch(t, srv.Client(), metav1.ListOptions{ResourceVersion: "99990"})
		busy := apierrors.NewTooManyRequests("busy", 1)
		srv.Strike(watchtest.Idle(3*time.Second, watchtest.SendError(busy)))
		time.Sleep(7 * time.Second)
		if n := len(drain(w)); n != 2 {
			t.Errorf("%d errors in seven seconds, want 2", n)
		}
	})
}

func TestOmitBookmarks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := watchtest.NewServer()
		srv.Inject(watchtest.Fault{Do: watchtest.OmitBookmarks()})
		opts := streamingList()
		opts.TimeoutSeconds = new(int64(300))
		w := openWatch(t, srv.Client(), opts)
		time.Sleep(4 * time.Minute)
		srv.Create(executor("a"))
		time.Sleep(time.Minute)
		expect(t, w, "BOOKMARK 99990 end", "ADDED a 99991", "closed")
	})
}

func TestLose(t *testing.T) {
	inBoth(t, func(t *testing.T, client func(*watchtest.Server) kubernetes.Interface) {
		srv := watchtest.NewServer()
		opts := streamingList()
		opts.TimeoutSeconds = new(int64(300))
		w := openWatch(t, client(srv), opts)
		srv.Create(executor("a"))
		srv.Strike(watchtest.Lose(2))
		time.Sleep(time.Minute + time.Second) // after a bookmark, which is not lost
		srv.Create(executor("b"))
		srv.Delete("default", "a")
		srv.Create(executor("c"))
		expect(t, w, "BOOKMARK 99990 end", "ADDED a 99991", "BOOKMARK 99991", "ADDED c 99994")
	})
}
