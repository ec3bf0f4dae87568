// SPDX-License-Identifier: Apache-2.0

package watchtest_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"

	"github.com/executorpods/watchsource/watchtest"
)

func TestWatchResumesAfterVersion(t *testing.T) {
	inBoth(t, func(t *testing.T, client func(*watchtest.Server) kubernetes.Interface) {
		srv := watchtest.NewServer()
		srv.Create(executor("a"))
		from := srv.ResourceVersion()
		srv.Create(executor("b"))
		srv.Delete("default", "b")

		w := openWatch(t, client(srv), metav1.ListOptions{ResourceVersion: from})
		expect(t, w, "ADDED b 99992", "DELETED b 99993")
		srv.Update("default", "a", func(pod *corev1.Pod) { pod.Status.Phase = corev1.PodFailed })
		expect(t, w, "MODIFIED a 99994")
	})
}

func TestWatchWithoutVersionBeginsWithState(t *testing.T) {
	for _, version := range []string{"", "0"} {
		synctest.Test(t, func(t *testing.T) {
			srv := watchtest.NewServer()
			srv.Create(executor("b"))
			srv.Create(executor("a"))
			w := openWatch(t, srv.Client(), metav1.ListOptions{ResourceVersion: version})
			expect(t, w, "ADDED a 99992", "ADDED b 99991")
			srv.Delete("default", "a")
			expect(t, w, "DELETED a 99993")
		})
	}
}

func TestWatchFromNowWithoutInitialEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := watchtest.NewServer()
		srv.Create(executor("a"))
		opts := streamingList()
		opts.SendInitialEvents = new(false)
		w := openWatch(t, srv.Client(), opts)
		expect(t, w)
		srv.Create(executor("b"))
		expect(t, w, "ADDED b 99992")
	})
}

// A watch can start at a future version.
func TestWatchFromFutureVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := watchtest.NewServer()
		w := openWatch(t, srv.Client(), metav1.ListOptions{ResourceVersion: "99991"})
		srv.Create(executor("a"))
		expect(t, w)
		srv.Create(executor("b"))
		expect(t, w, "ADDED b 99992")
	})
}

func TestWatchSelectors(t *testing.T) {
	inBoth(t, func(t *testing.T, client func(*watchtest.Server) kubernetes.Interface) {
		srv := watchtest.NewServer()
		w := openWatch(t, client(srv), metav1.ListOptions{LabelSelector: "app=one", FieldSelector: "status.phase=Running"})
		srv.Create(executor("in"))
		out := executor("out")
		out.Labels["app"] = "two"
		srv.Create(out)
		expect(t, w, "ADDED in 99991")

		// The pod leaves the selection: DELETED has its previous state and the version
		// of the change.
		srv.Update("default", "in", func(pod *corev1.Pod) { pod.Labels["app"] = "two" })
		synctest.Wait()
		e := <-w.ResultChan()
		pod := e.Object.(*corev1.Pod)
		if e.Type != watch.Deleted || pod.Labels["app"] != "one" || pod.ResourceVersion != "99993" {
			t.Errorf("got %s of %v at %s, want DELETED of app one at 99993", e.Type, pod.Labels, pod.ResourceVersion)
		}

		srv.Update("default", "out", func(pod *corev1.Pod) { pod.Labels["app"] = "one" })
		srv.Update("default", "out", func(pod *corev1.Pod) { pod.Status.Phase = corev1.PodFailed })
		srv.Delete("default", "out")
		expect(t, w, "ADDED out 99994", "DELETED out 99995")
	})
}

func TestWatchNamespace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := watchtest.NewServer()
		w, err := srv.Client().CoreV1().Pods("jobs").Watch(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Stop()
		srv.Create(executor("elsewhere"))
		pod := executor("here")
		pod.Namespace = "jobs"
		srv.Create(pod)
		expect(t, w, "ADDED here 99992")
	})
}

func TestWatchOfOnePod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := watchtest.NewServer()
		w := openWatch(t, srv.Client(), metav1.ListOptions{FieldSelector: "metadata.name=b,metadata.namespace=default"})
		srv.Create(executor("a"))
		srv.Create(executor("b"))
		expect(t, w, "ADDED b 99992")
	})
}

func TestWatchCompacted(t *testing.T) {
	inBoth(t, func(t *testing.T, client func(*watchtest.Server) kubernetes.Interface) {
		srv := watchtest.NewServer()
		open := openWatch(t, client(srv), metav1.ListOptions{ResourceVersion: srv.ResourceVersion()})
		srv.Create(executor("a"))
		srv.Create(executor("b"))
		srv.Compact()
		expect(t, open, "ADDED a 99991", "ADDED b 99992")

		late := openWatch(t, client(srv), metav1.ListOptions{ResourceVersion: "99991"})
		expect(t, late, "ERROR 410 Expired too old resource version: 99991 (99992)", "closed")
		now := openWatch(t, client(srv), metav1.ListOptions{ResourceVersion: "99992"})
		srv.Create(executor("c"))
		expect(t, now, "ADDED c 99993")
	})
}

func TestWatchCompactedAtConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := watchtest.NewServer(watchtest.WithExpiredAtConnect())
		srv.Create(executor("a"))
		srv.Compact()
		_, err := srv.Client().CoreV1().Pods("").Watch(t.Context(), metav1.ListOptions{ResourceVersion: "99990"})
		if !apierrors.IsResourceExpired(err) {
			t.Errorf("err = %v, want Expired", err)
		}
	})
}

func TestHistoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := watchtest.NewServer(watchtest.WithHistory(2))
		for _, name := range []string{"a", "b", "c"} {
			srv.Create(executor(name))
		}
		expect(t, openWatch(t, srv.Client(), metav1.ListOptions{ResourceVersion: "99991"}), "ADDED b 99992", "ADDED c 99993")
		expect(t, openWatch(t, srv.Client(), metav1.ListOptions{ResourceVersion: "99990"}),
			"ERROR 410 Expired too old resource version: 99990 (99991)", "closed")
	})
}

func TestWatchTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := watchtest.NewServer()
		w := openWatch(t, srv.Client(), metav1.ListOptions{ResourceVersion: "99990", TimeoutSeconds: new(int64(10))})
		time.Sleep(9 * time.Second)
		expect(t, w)
		time.Sleep(time.Second)
		expect(t, w, "closed")
		if open := len(srv.Streams()); open != 0 {
			t.Errorf("%d streams are open, want 0", open)
		}
	})
}

// The server ends a watch that has no timeoutSeconds.
func TestWatchDefaultTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := watchtest.NewServer()
		w := openWatch(t, srv.Client(), metav1.ListOptions{ResourceVersion: "99990"})
		time.Sleep(30 * time.Minute)
		expect(t, w)
		time.Sleep(30 * time.Minute)
		expect(t, w, "closed")
	})
}

func TestBookmarks(t *testing.T) {
	inBoth(t, func(t *testing.T, client func(*watchtest.Server) kubernetes.Interface) {
		srv := watchtest.NewServer()
		w := openWatch(t, client(srv), metav1.ListOptions{
			ResourceVersion: "99990", AllowWatchBookmarks: true, TimeoutSeconds: new(int64(150)),
		})
		without := openWatch(t, client(srv), metav1.ListOptions{ResourceVersion: "99990", TimeoutSeconds: new(int64(150))})
		time.Sleep(time.Minute)
		expect(t, w, "BOOKMARK 99990")
		srv.Advance(5)
		time.Sleep(time.Minute)
		expect(t, w, "BOOKMARK 99995")
		time.Sleep(27 * time.Second)
		expect(t, w)
		time.Sleep(time.Second) // two seconds before the timeout
		expect(t, w, "BOOKMARK 99995")
		time.Sleep(2 * time.Second)
		expect(t, w, "closed")
		expect(t, without, "closed")
	})
}

func TestBookmarkInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := watchtest.NewServer(watchtest.WithBookmarkInterval(time.Second))
		w := openWatch(t, srv.Client(), metav1.ListOptions{ResourceVersion: "99990", AllowWatchBookmarks: true})
		time.Sleep(2 * time.Second)
		expect(t, w, "BOOKMARK 99990", "BOOKMARK 99990")
	})
}

func TestNoBookmarksButTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := watchtest.NewServer(watchtest.WithBookmarkInterval(0))
		w := openWatch(t, srv.Client(), metav1.ListOptions{
			ResourceVersion: "99990", AllowWatchBookmarks: true, TimeoutSeconds: new(int64(600)),
		})
		time.Sleep(590 * time.Second)
		expect(t, w)
		time.Sleep(10 * time.Second)
		expect(t, w, "BOOKMARK 99990", "closed")
	})
}

func TestStreamingList(t *testing.T) {
	inBoth(t, func(t *testing.T, client func(*watchtest.Server) kubernetes.Interface) {
		srv := watchtest.NewServer()
		srv.Create(executor("b"))
		srv.Create(executor("a"))
		srv.Advance(1)
		w := openWatch(t, client(srv), streamingList())
		srv.Create(executor("c"))
		expect(t, w, "ADDED a 99992", "ADDED b 99991", "BOOKMARK 99993 end", "ADDED c 99994")

		// It also works from a compacted version, because it begins with the current state.
		srv.Compact()
		opts := streamingList()
		opts.ResourceVersion = "99991"
		w = openWatch(t, client(srv), opts)
		expect(t, w, "ADDED a 99992", "ADDED b 99991", "ADDED c 99994", "BOOKMARK 99994 end")
	})
}

func TestStreamingListFromFutureVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := watchtest.NewServer()
		opts := streamingList()
		opts.ResourceVersion = "99999"
		expect(t, openWatch(t, srv.Client(), opts),
			"ERROR 504 Timeout Timeout: Too large resource version: 99999, current: 99990", "closed")
	})
}

func TestStreamingListOptions(t *testing.T) {
	for _, test := range []struct {
		name   string
		server *watchtest.Server
		change func(*metav1.ListOptions)
		want   string
	}{
		{
			name:   "without a match",
			server: watchtest.NewServer(),
			change: func(o *metav1.ListOptions) { o.ResourceVersionMatch = "" },
			want:   "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
		},
		{
			name:   "match alone",
			server: watchtest.NewServer(),
			change: func(o *metav1.ListOptions) { o.SendInitialEvents, o.ResourceVersion = nil, "5" },
			want:   "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
		},
		{
			name:   "old server",
			server: watchtest.NewServer(watchtest.WithoutStreamingLists()),
			change: func(*metav1.ListOptions) {},
			want:   "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			opts := streamingList()
			test.change(&opts)
			_, err := test.server.Client().CoreV1().Pods("").Watch(t.Context(), opts)
			if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("err = %v, want Invalid: %s", err, test.want)
			}
		})
	}
}

func TestOldServerStillSendsState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := watchtest.NewServer(watchtest.WithoutStreamingLists())
		srv.Create(executor("a"))
		w := openWatch(t, srv.Client(), metav1.ListOptions{AllowWatchBookmarks: true})
		expect(t, w, "ADDED a 99991")
	})
}

// All streams deliver the same events, to fast and to slow readers.
func TestStreamsAreIndependent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := watchtest.NewServer()
		slow := openWatch(t, srv.Client(), metav1.ListOptions{ResourceVersion: "99990"})
		fast := openWatch(t, srv.JSONClient(), metav1.ListOptions{ResourceVersion: "99990"})
		srv.Create(executor("a"))
		expect(t, fast, "ADDED a 99991")
		for range 1000 {
			srv.Update("default", "a", func(*corev1.Pod) {})
		}
		if got := len(drain(fast)); got != 1000 {
			t.Errorf("the fast reader has %d events, want 1000", got)
		}
		if got := len(drain(slow)); got != 1001 {
			t.Errorf("the slow reader has %d events, want 1001", got)
		}
	})
}

func TestStopEndsStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := watchtest.NewServer()
		w := openWatch(t, srv.Client(), metav1.ListOptions{})
		if open := len(srv.Streams()); open != 1 {
			t.Fatalf("%d streams are open, want 1", open)
		}
		w.Stop()
		synctest.Wait()
		if open := len(srv.Streams()); open != 0 {
			t.Errorf("%d streams are open after Stop, want 0", open)
		}
	})
}

func TestContextEndsStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := watchtest.NewServer()
		ctx, cancel := context.WithCancel(t.Context())
		w, err := srv.Client().CoreV1().Pods("").Watch(ctx, metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Stop()
		cancel()
		synctest.Wait()
		if open := len(srv.Streams()); open != 0 {
			t.Errorf("%d streams are open after cancel, want 0", open)
		}
		if _, err := srv.Client().CoreV1().Pods("").Watch(ctx, metav1.ListOptions{}); err == nil {
			t.Error("Watch with a cancelled context returned nil, want an error")
		}
	})
}

// The transport works without client-go, and names its media type.
func TestWatchContentTypes(t *testing.T) {
	for accept, want := range map[string]string{
		"": "application/json",
		"application/json;as=Table;v=v1;g=meta.k8s.io, application/json": "application/json",
		"application/vnd.kubernetes.protobuf, application/json":          "application/vnd.kubernetes.protobuf;stream=watch",
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://any/api/v1/pods?watch=1", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", accept)
		resp, err := watchtest.NewServer().RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := resp.Header.Get("Content-Type"); got != want {
			t.Errorf("Accept %q: Content-Type %q, want %q", accept, got, want)
		}
	}
}
