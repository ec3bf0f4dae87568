// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/flowcontrol"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/watchtest"
)

// wrappedClient wraps a clientset in another type, so the source can only call its methods.
type wrappedClient struct{ kubernetes.Interface }

func (c wrappedClient) CoreV1() typedcorev1.CoreV1Interface {
	return struct{ typedcorev1.CoreV1Interface }{c.Interface.CoreV1()}
}

func clientFor(t *testing.T, config *rest.Config) kubernetes.Interface {
	t.Helper()
	client, err := kubernetes.NewForConfig(config)
	must(t, err)
	return client
}

// podClients are the clients through which pods come from a server: the first as protobuf that
// this library reads, the others through client-go's decoder.
var podClients = map[string]func(t *testing.T, server *watchtest.Server) kubernetes.Interface{
	"protobuf":             func(_ *testing.T, server *watchtest.Server) kubernetes.Interface { return server.Client() },
	"JSON through a proxy": jsonClient,
	"JSON client":          func(_ *testing.T, server *watchtest.Server) kubernetes.Interface { return server.JSONClient() },
	"own client": func(_ *testing.T, server *watchtest.Server) kubernetes.Interface {
		return wrappedClient{server.Client()}
	},
}

// podLists are servers that list in the two ways.
var podLists = map[string][]watchtest.Option{
	"streaming list": nil,
	"plain list":     {watchtest.WithoutStreamingLists()},
}

// The store receives the same pods from both decoders: listed, added, modified and deleted.
func TestPodForms(t *testing.T) {
	for name, client := range podClients {
		for list, server := range podLists {
			for form, whole := range map[string]bool{"whole": true, "trimmed": false} {
				eachCaseInBubble(t, strings.Join([]string{name, list, form}, "/"), func(t *testing.T, newSource modeltest.NewSource) {
					server := watchtest.NewServer(server...)
					for id := range 3 {
						server.Create(fullPod(id))
					}
					var options []watchsource.Option
					if !whole {
						options = append(options, watchsource.WithTrimmedPods())
					}
					pods := new(podRecorder)
					source := newSource(pods, client(t, server), options...)
					start(t, source, "app")
					defer source.Stop()
					server.Create(fullPod(3))
					server.Update("jobs", fullPod(1).Name, phase(corev1.PodSucceeded))
					server.Delete("jobs", fullPod(2).Name)
					synctest.Wait()
					pods.check(t, server, whole)
				})
			}
		}
	}
	eachCaseInBubble(t, "fake", func(t *testing.T, newSource modeltest.NewSource) {
		pods := new(podRecorder)
		source := newSource(pods, fake.NewClientset(fullPod(1)), watchsource.WithTrimmedPods())
		start(t, source, "app")
		defer source.Stop()
		wantPod(t, pods.all[0], fullPod(1), false)
	})
}

// sentRequests returns the requests of a Start, without random values, and how often they
// waited for the rate limiter.
func sentRequests(t *testing.T, newSource modeltest.NewSource, wrap func(kubernetes.Interface) kubernetes.Interface) (sent []string, waits int) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer(watchtest.WithoutStreamingLists())
		for id := range 600 {
			server.Create(pod(fmt.Sprint(id)))
		}
		config := server.Config()
		limiter := new(countingLimiter)
		config.Host += "/behind/a proxy"
		config.UserAgent = "scheduler/1.0"
		config.BearerToken = "token"
		config.Timeout = time.Hour
		config.RateLimiter = limiter
		var mu sync.Mutex
		config.Wrap(func(next http.RoundTripper) http.RoundTripper {
			return roundTripper(func(r *http.Request) (*http.Response, error) {
				r = r.Clone(r.Context())
				query := r.URL.Query()
				if seconds := query.Get("timeoutSeconds"); seconds != "" {
					query.Set("timeoutSeconds", "at random")
					if timeout, err := time.ParseDuration(query.Get("timeout")); err == nil && fmt.Sprint(timeout.Seconds()) == seconds {
						query.Set("timeout", "the same")
					}
				}
				query.Del("continue")
				mu.Lock()
				sent = append(sent, fmt.Sprintln(r.Method, r.URL.Host, r.URL.EscapedPath(), query.Encode(), r.Header))
				mu.Unlock()
				r.URL.Path = strings.TrimPrefix(r.URL.Path, "/behind/a proxy")
				return next.RoundTrip(r)
			})
		})
		source := newSource(watchsource.NewStore(), wrap(clientFor(t, config)), watchsource.WithNamespace("jobs"))
		start(t, source, "app")
		source.Stop()
		waits = limiter.waits
	})
	return sent, waits
}

// The source's own client sends the same requests as client-go: to the same address, with
// the same headers, and through the same rate limiter. But it asks for pods without managedFields,
// and for streams that are not compressed.
func TestSameRequests(t *testing.T) {
	eachConstructor(t, func(t *testing.T, newSource modeltest.NewSource) {
		own, ownWaits := sentRequests(t, newSource, func(client kubernetes.Interface) kubernetes.Interface { return client })
		clientGo, clientGoWaits := sentRequests(t, newSource, func(client kubernetes.Interface) kubernetes.Interface { return wrappedClient{client} })
		for i, request := range clientGo {
			accept := "Accept:[application/vnd.kubernetes.protobuf;drop=metadata.managedFields,application/vnd.kubernetes.protobuf," +
				"application/json;drop=metadata.managedFields,application/json]"
			if strings.Contains(request, "watch=true") {
				accept += " Accept-Encoding:[identity]"
			}
			clientGo[i] = strings.Replace(request, "Accept:[application/vnd.kubernetes.protobuf,application/json]", accept, 1)
		}
		if len(own) < 4 || !slices.Equal(own, clientGo) {
			t.Errorf("requests\n%s\nwant at least 4, and client-go's with other Accept headers\n%s", own, clientGo)
		}
		if ownWaits == 0 || ownWaits != clientGoWaits {
			t.Errorf("%d requests waited for the rate limiter, want %d as with client-go, and not 0", ownWaits, clientGoWaits)
		}
	})
}

type countingLimiter struct{ waits int }

func (l *countingLimiter) TryAccept() bool            { return true }
func (l *countingLimiter) Accept()                    {}
func (l *countingLimiter) Stop()                      {}
func (l *countingLimiter) QPS() float32               { return 0 }
func (l *countingLimiter) Wait(context.Context) error { l.waits++; return nil }

// A rate limiter delays lists but not watches, as in client-go.
func TestWatchesAreNotThrottled(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		server := watchtest.NewServer()
		server.Create(pod("1"))
		config := server.Config()
		config.RateLimiter = flowcontrol.NewFakeNeverRateLimiter()
		store := watchsource.NewStore()
		source := newSource(store, clientFor(t, config))
		start(t, source, "app")
		defer source.Stop()
		server.Strike(watchtest.Cut())
		server.Create(pod("2"))
		wantNames(t, store, "exec-1=Pending exec-2=Pending")
		if n := completeLists(server) - 1; n > 0 {
			t.Errorf("%d lists passed the rate limiter, want none", n)
		}
	})
}

// uncancellableTransport is a transport whose requests do not end with their context.
type uncancellableTransport struct{ http.RoundTripper }

func (d uncancellableTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	return d.RoundTripper.RoundTrip(r.WithContext(context.WithoutCancel(r.Context())))
}

func TestStopWithATransportThatIgnoresItsContext(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		server := watchtest.NewServer()
		config := server.Config()
		config.Transport = uncancellableTransport{config.Transport}
		source := newSource(watchsource.NewStore(), clientFor(t, config))
		start(t, source, "app")
		synctest.Wait()
		began := time.Now()
		source.Stop()
		if took := time.Since(began); took > time.Second {
			t.Errorf("Stop took %v, want at most 1s", took)
		}
		synctest.Wait()
		if n := len(server.Streams()); n > 0 {
			t.Errorf("%d streams are open, want none", n)
		}
	})
}
