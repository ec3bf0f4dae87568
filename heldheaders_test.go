// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"context"
	"fmt"
	"io"
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
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/watchtest"
)

// A proxy may stop to hold answers back. Then an unanswered watch is trouble again, once a stream
// was quiet at first. A bookmark may come just after a stream has opened, so the test waits for an hour.
func TestHeldHeadersAreForgotten(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		env := newEnv(t, newSource)
		liveCluster(t, env.server)
		lift := env.server.Inject(watchtest.Fault{On: watchtest.Watch, Do: watchtest.HoldHeaders()})
		env.start()
		time.Sleep(time.Hour)
		lift()
		env.server.Strike(watchtest.Reset())
		time.Sleep(time.Hour)
		env.server.Inject(watchtest.Fault{Do: watchtest.Hang()})
		env.server.Strike(watchtest.Reset())
		time.Sleep(6 * time.Second)
		if got := env.source.Status(); got.Phase != watchsource.Retrying {
			t.Errorf("phase %v six seconds after the connection was lost, want Retrying", got.Phase)
		}
	})
}

// One reset just after a watch was requested is no sign of a proxy that cuts idle streams. The
// watches after it last as long as before.
func TestResetOfAHeldWatch(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		env := newEnv(t, newSource)
		liveCluster(t, env.server)
		env.server.Inject(watchtest.Fault{On: watchtest.Watch, Do: watchtest.HoldHeaders()})
		opened := make(chan struct{}, 1000)
		env.start(watchsource.WithObserver(func(o watchsource.Observation) {
			if o.Kind == watchsource.Opened {
				opened <- struct{}{}
			}
		}))
		for range 3 { // the third watch is the first that is taken for open at once
			<-opened
		}
		time.Sleep(2 * time.Second) // five seconds after the request
		env.server.Strike(watchtest.Reset())
		time.Sleep(time.Hour)
		if n := len(opened); n > 15 {
			t.Errorf("%d watches in the hour after a reset, want at most 15: each lasts five minutes or more", n)
		}
	})
}

// wantBlindInABlackHole drops everything that the server sends, and fails if the source is healthy.
func wantBlindInABlackHole(t *testing.T, server *watchtest.Server, source *watchsource.WatchSnapshotSource) {
	t.Helper()
	t.Cleanup(server.Inject(watchtest.Fault{Do: watchtest.Hang()}))
	server.Strike(watchtest.Silence())
	time.Sleep(4*time.Minute + 5*time.Second) // the proxy cuts the stream after a minute
	if err, got := source.Healthy(3*time.Minute), source.Status(); err == nil || got.Phase != watchsource.Retrying {
		t.Errorf("after 4 minutes in a black hole Healthy = %v, phase %v, want an error and Retrying", err, got.Phase)
	}
}

// holdingProxies are the cases of TestHeldHeaders.
var holdingProxies = map[string][]watchtest.Effect{
	"no cuts":              nil,
	"60 s, HTTP/2":         {watchtest.Idle(time.Minute, watchtest.Reset())},
	"60 s, HTTP/1.1":       {watchtest.Idle(time.Minute, watchtest.Tear()), watchtest.Idle(time.Minute, watchtest.Cut())},
	"60 s and a good end":  {watchtest.Idle(time.Minute, watchtest.Cut())},
	"60 s, no bookmarks":   {watchtest.OmitBookmarks(), watchtest.Idle(time.Minute, watchtest.Reset())},
	"no cuts or bookmarks": {watchtest.OmitBookmarks()},
}

// nginx holds the headers of an answer back until the first byte of its body, and cuts streams
// that are idle for a minute. The source sees everything, and says so.
func TestHeldHeaders(t *testing.T) {
	for name, faults := range holdingProxies {
		for _, dropped := range []bool{false, true} {
			eachCaseInBubble(t, fmt.Sprint(name, ", black hole ", dropped), func(t *testing.T, newSource modeltest.NewSource) {
				server := watchtest.NewServer()
				log := new(logLines)
				for _, effect := range append(faults, watchtest.HoldHeaders()) {
					server.Inject(watchtest.Fault{On: watchtest.Watch | watchtest.StreamingList, Do: effect})
				}
				store := watchsource.NewStore()
				var refused int
				source := newSource(store, server.Client(), watchsource.WithLogger(log.logger(0)), watchsource.WithObserver(func(o watchsource.Observation) {
					if o.Kind == watchsource.Refused {
						refused++
					}
				}))
				start(t, source, "app")
				defer source.Stop()
				server.Strike(watchtest.Cut())
				before := completeLists(server)
				for second := range 3600 {
					time.Sleep(time.Second)
					if err, got := source.Healthy(3*time.Minute), source.Status(); err != nil || got.Phase != watchsource.Watching {
						t.Fatalf("after %d seconds Healthy = %v, phase %v, want nil and Watching: %v", second+1, err, got.Phase, got.Err)
					}
				}
				synctest.Wait()
				wantLines(t, log, 0, "msg")
				if n := completeLists(server) - before; n != 0 || refused != 0 {
					t.Errorf("%d relists and %d refusals in an idle hour, want 0", n, refused)
				}
				// One comes after the cut, one finds the proxy, one finds that there are no
				// bookmarks, and one in five minutes after that.
				if n := server.Count(watchtest.List); n > 3+12 {
					t.Errorf("%d checks of the version in an hour, want at most %d", n, 3+12)
				}
				if dropped {
					wantBlindInABlackHole(t, server, source)
					wantLines(t, log, 1, blindLine)
					return
				}
				server.Create(pod("1"))
				time.Sleep(4 * time.Second) // at most until the answer is taken to be held back
				wantEqualToList(t, server, store)
			})
		}
	}
}

// A client may lack the right to list. The refusal of a check shows that the server is there.
func TestHeldHeadersWithoutTheRightToList(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		env := newEnv(t, newSource)
		liveCluster(t, env.server)
		env.server.Inject(watchtest.Fault{On: watchtest.Watch, Do: watchtest.HoldHeaders()})
		env.server.Inject(watchtest.Fault{On: watchtest.List, Do: watchtest.Answer(forbidden)})
		env.start()
		env.server.Strike(watchtest.Reset())
		for second := range 3600 {
			time.Sleep(time.Second)
			if err, got := env.source.Healthy(3*time.Minute), env.source.Status(); err != nil || got.Phase != watchsource.Watching {
				t.Fatalf("after %d seconds Healthy = %v, phase %v, want nil and Watching: %v", second+1, err, got.Phase, got.Err)
			}
		}
	})
}

// A watch that is refused late is refused, even if it was taken for open.
func TestLateRefusal(t *testing.T) {
	for name, test := range map[string]struct {
		do      watchtest.Effect
		times   int
		relists int
	}{
		"forbidden": {do: watchtest.Answer(forbidden), times: 3},
		"busy":      {do: watchtest.Answer(busy), times: 3},
		"internal":  {do: watchtest.Answer(internal), times: 3, relists: 1},
		"expired":   {do: watchtest.Answer(expired), times: 1, relists: 1},
	} {
		eachCaseInBubble(t, name, func(t *testing.T, newSource modeltest.NewSource) {
			env := newEnv(t, newSource)
			env.start()
			time.Sleep(90 * time.Second)
			env.server.Inject(watchtest.Fault{On: watchtest.Watch, Times: test.times, Do: watchtest.Delay(10 * time.Second)})
			lift := env.server.Inject(watchtest.Fault{On: watchtest.Watch, Times: test.times, Do: test.do})
			env.server.Strike(watchtest.Cut())
			before := len(env.server.Requests())
			time.Sleep(11 * time.Second)
			if got := env.source.Status(); name != "expired" && (got.Phase != watchsource.Retrying || got.Err == nil || !strings.Contains(got.Err.Error(), "watch pods")) {
				t.Errorf("phase %v, error %v, want Retrying and the refusal of the watch", got.Phase, got.Err)
			}
			time.Sleep(2 * time.Minute)
			lift()
			env.create("1")
			time.Sleep(2 * time.Minute)
			env.wantEqualToList()
			if got := env.source.Status().Relists; got != test.relists {
				t.Errorf("%d relists, want %d", got, test.relists)
			}
			if n := len(env.server.Requests()) - before; n > 20 {
				t.Errorf("%d requests in four minutes, want at most 20", n)
			}
		})
	}
}

// A watch that is always refused late is one trouble, and the source is not healthy.
func TestLateRefusalsAreLoggedOnce(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		env := newEnv(t, newSource)
		log := new(logLines)
		env.start(watchsource.WithLogger(log.logger(0)))
		time.Sleep(90 * time.Second)
		env.server.Inject(watchtest.Fault{On: watchtest.Watch, Do: watchtest.Delay(10 * time.Second)})
		lift := env.server.Inject(watchtest.Fault{On: watchtest.Watch, Do: watchtest.Answer(forbidden)})
		env.server.Strike(watchtest.Cut())
		time.Sleep(11 * time.Second)
		for range 300 {
			time.Sleep(time.Second)
			if got := env.source.Status(); got.Phase != watchsource.Retrying {
				t.Fatalf("phase %v while each watch is refused, want Retrying", got.Phase)
			}
		}
		if err := env.source.Healthy(3 * time.Minute); !apierrors.IsForbidden(err) {
			t.Errorf("Healthy = %v, want the refusal", err)
		}
		wantLines(t, log, 1, "Watch interrupted")
		lift()
		time.Sleep(time.Minute)
		if err, got := env.source.Healthy(3*time.Minute), env.source.Status(); err != nil || got.Phase != watchsource.Watching {
			t.Errorf("Healthy = %v, phase %v after the refusals, want nil and Watching", err, got.Phase)
		}
	})
}

// deafClient is a wrapped client that ignores contexts, as some wrappers do.
type deafClient struct{ kubernetes.Interface }

type deafCore struct{ typedcorev1.CoreV1Interface }

type deafPods struct{ typedcorev1.PodInterface }

func (c deafClient) CoreV1() typedcorev1.CoreV1Interface { return deafCore{c.Interface.CoreV1()} }

func (c deafCore) Pods(namespace string) typedcorev1.PodInterface {
	return deafPods{c.CoreV1Interface.Pods(namespace)}
}

func (p deafPods) List(_ context.Context, options metav1.ListOptions) (*corev1.PodList, error) {
	return p.PodInterface.List(context.Background(), options)
}

func (p deafPods) Watch(_ context.Context, options metav1.ListOptions) (watch.Interface, error) {
	return p.PodInterface.Watch(context.Background(), options)
}

// Stop leaves a watch and a check behind together if the client does not end them.
func TestStopDuringACheckOfAHeldWatch(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		server := watchtest.NewServer()
		source := newSource(watchsource.NewStore(), deafClient{server.Client()})
		start(t, source, "app")
		defer server.Inject(watchtest.Fault{On: watchtest.Watch, Do: watchtest.Hang()})()
		server.Strike(watchtest.Reset())
		time.Sleep(time.Second) // the version is checked, and the next watch is requested
		defer server.Inject(watchtest.Fault{On: watchtest.List, Do: watchtest.Hang()})()
		time.Sleep(3 * time.Second)
		began := time.Now()
		source.Stop()
		if took := time.Since(began); took > 300*time.Millisecond {
			t.Errorf("Stop took %v, want at most 300ms", took)
		}
	})
}

// hungGateway answers as a gateway whose server hangs, once hung is closed: with 504 after a
// minute.
func hungGateway(next http.RoundTripper, hung <-chan struct{}) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		select {
		case <-hung:
		default:
			return next.RoundTrip(r)
		}
		select {
		case <-time.After(time.Minute):
			const page = "<html><head><title>504 Gateway Time-out</title></head></html>"
			return &http.Response{StatusCode: http.StatusGatewayTimeout, Header: http.Header{"Content-Type": {"text/html"}}, Request: r,
				Body: io.NopCloser(strings.NewReader(page))}, nil
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	})
}

// The API server behind a proxy that holds answers back hangs. A watch that the proxy refuses
// in the server's place is no sign of life, whenever the last check was.
func TestHungServerBehindHeldHeaders(t *testing.T) {
	for _, bookmarks := range []bool{true, false} {
		for minutes := 20; minutes < 26; minutes++ {
			eachCaseInBubble(t, fmt.Sprint("bookmarks ", bookmarks, ", after ", minutes, "m"), func(t *testing.T, newSource modeltest.NewSource) {
				server := watchtest.NewServer()
				log := new(logLines)
				effects := []watchtest.Effect{watchtest.Idle(time.Minute, watchtest.Reset()), watchtest.HoldHeaders()}
				if !bookmarks {
					effects = append(effects, watchtest.OmitBookmarks())
				}
				for _, effect := range effects {
					server.Inject(watchtest.Fault{On: watchtest.Watch | watchtest.StreamingList, Do: effect})
				}
				hung := make(chan struct{})
				config := server.Config()
				config.Wrap(func(next http.RoundTripper) http.RoundTripper { return hungGateway(next, hung) })
				source := newSource(watchsource.NewStore(), clientFor(t, config), watchsource.WithLogger(log.logger(0)))
				start(t, source, "app")
				defer source.Stop()
				time.Sleep(time.Duration(minutes) * time.Minute)
				if err := source.Healthy(3 * time.Minute); err != nil {
					t.Fatalf("Healthy = %v, want nil", err)
				}
				close(hung)
				server.Strike(watchtest.Reset())
				time.Sleep(4*time.Minute + 5*time.Second)
				if err, got := source.Healthy(3*time.Minute), source.Status(); err == nil || got.Phase != watchsource.Retrying {
					t.Errorf("Healthy = %v, phase %v four minutes after the server began to hang, want an error and Retrying", err, got.Phase)
				}
				wantLines(t, log, 1, "Watch interrupted")
			})
		}
	}
}
