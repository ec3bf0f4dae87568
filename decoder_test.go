// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/flowcontrol"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/watchtest"
)

const decodedByClientGo = "Pods are decoded by client-go"

// fastSettings are settings of clients with which this library decodes the pods.
var fastSettings = map[string]func(*rest.Config){
	"protobuf by default": func(c *rest.Config) { c.ContentConfig = rest.ContentConfig{} },
	"protobuf":            func(c *rest.Config) { c.ContentConfig = rest.ContentConfig{ContentType: protobufType} },
	"protobuf before others": func(c *rest.Config) {
		c.ContentConfig = rest.ContentConfig{AcceptContentTypes: protobufType + "," + jsonType, ContentType: jsonType}
	},
	"no warnings":              func(c *rest.Config) { c.WarningHandler = rest.NoWarnings{} },
	"no warnings with context": func(c *rest.Config) { c.WarningHandlerWithContext = rest.NoWarnings{} },
	"warnings to a writer": func(c *rest.Config) {
		c.WarningHandler = rest.NewWarningWriter(io.Discard, rest.WarningWriterOptions{Deduplicate: true})
	},
	"impersonation": func(c *rest.Config) {
		c.Impersonate = rest.ImpersonationConfig{UserName: "scheduler", Groups: []string{"batch"}}
	},
	"a wrapped transport": func(c *rest.Config) {
		c.Wrap(func(next http.RoundTripper) http.RoundTripper { return roundTripper(next.RoundTrip) })
	},
	"a timeout":                  func(c *rest.Config) { c.Timeout = time.Minute },
	"rate limits":                func(c *rest.Config) { c.QPS, c.Burst = 1, 1 },
	"no rate limit":              func(c *rest.Config) { c.QPS = -1 },
	"a rate limiter":             func(c *rest.Config) { c.RateLimiter = flowcontrol.NewFakeAlwaysRateLimiter() },
	"a user agent, and a token":  func(c *rest.Config) { c.UserAgent, c.BearerToken = "scheduler/1.0", "token" },
	"no compression":             func(c *rest.Config) { c.DisableCompression = true },
	"the path of a proxy server": pathOfAProxy,
}

// pathOfAProxy makes a client of a server behind a path, as Rancher has one.
func pathOfAProxy(c *rest.Config) {
	c.Host += "/k8s/clusters/c-1"
	c.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			r = r.Clone(r.Context())
			r.URL.Path = strings.TrimPrefix(r.URL.Path, "/k8s/clusters/c-1")
			return next.RoundTrip(r)
		})
	})
}

// The decoder of this library reads the pods of each client that accepts protobuf first. The Status
// says so, and the log has no line.
func TestDecoderInUse(t *testing.T) {
	for list, options := range podLists {
		for settings, set := range fastSettings {
			eachCaseInBubble(t, list+"/"+settings, func(t *testing.T, newSource modeltest.NewSource) {
				server := watchtest.NewServer(options...)
				server.Create(pod("1", container(executorContainer, running())))
				config := server.Config()
				set(config)
				log := new(logLines)
				store := watchsource.NewStore()
				source := newSource(store, clientFor(t, config), watchsource.WithLogger(log.logger(4)))
				wantDecoder(t, source, "")
				start(t, source, "app")
				defer source.Stop()
				wantDecoder(t, source, "protobuf")
				server.Update("jobs", "exec-1", phase(corev1.PodRunning))
				wantNames(t, store, "exec-1=Running")
				wantDecoder(t, source, "protobuf")
				wantLines(t, log, 0, decodedByClientGo)
			})
		}
	}
}

func wantDecoder(t *testing.T, source *watchsource.WatchSnapshotSource, want string) {
	t.Helper()
	if got := source.Status().Decoder; got != want {
		t.Errorf("the decoder is %q, want %q", got, want)
	}
}

// slowClients are clients whose pods client-go decodes, and why.
var slowClients = []struct {
	client         func(t *testing.T, server *watchtest.Server) kubernetes.Interface
	reason, remedy string
}{
	{
		client: func(_ *testing.T, server *watchtest.Server) kubernetes.Interface {
			return wrappedClient{server.Client()}
		},
		reason: "the client is wrapped, its CoreV1 is a struct { v1.CoreV1Interface }",
		remedy: "use a clientset that kubernetes.NewForConfig has returned, and rest.Config.Wrap for what the wrapper does",
	},
	{
		client: func(_ *testing.T, server *watchtest.Server) kubernetes.Interface {
			return kubernetes.New(struct{ rest.Interface }{server.Client().CoreV1().RESTClient()})
		},
		reason: "the client is wrapped, its REST client is a struct { rest.Interface }",
		remedy: "use a clientset that kubernetes.NewForConfig has returned, and rest.Config.Wrap for what the wrapper does",
	},
	{
		client: func(_ *testing.T, server *watchtest.Server) kubernetes.Interface { return server.JSONClient() },
		reason: "the client asks for application/json",
		remedy: "leave rest.Config.ContentType and AcceptContentTypes empty, or put application/vnd.kubernetes.protobuf first",
	},
	{
		client: jsonClient,
		reason: "the API server answers in application/json",
		remedy: "check what is between the client and the API server: it changes the header Accept",
	},
}

// If client-go decodes the pods, the Status names the reason, also after Stop, and one line of each
// Start says it, and what to do, however many requests and pods follow.
func TestUnusualClients(t *testing.T) {
	for list, options := range podLists {
		for _, test := range slowClients {
			eachCaseInBubble(t, list+"/"+test.reason, func(t *testing.T, newSource modeltest.NewSource) {
				server := watchtest.NewServer(options...)
				server.Create(pod("1"))
				log := new(logLines)
				store := watchsource.NewStore()
				source := newSource(store, test.client(t, server), watchsource.WithLogger(log.logger(0)), watchsource.WithVerification(time.Minute))
				for starts := range 2 {
					start(t, source, "app")
					wantDecoder(t, source, "client-go: "+test.reason)
					for range 3 {
						server.Strike(watchtest.Cut())
						server.Update("jobs", "exec-1", touch)
						time.Sleep(2 * time.Minute)
					}
					wantEqualToList(t, server, store)
					source.Stop()
					wantDecoder(t, source, "client-go: "+test.reason)
					wantLines(t, log, starts+1, `"level"=0 "msg"="Pods are decoded by client-go, at several times the cost"`,
						`"reason"="`+test.reason+`"`, `"remedy"="`+test.remedy+`"`)
					wantLines(t, log, starts+1, decodedByClientGo)
				}
			})
		}
	}
}

// The pods of a fake need no decoding. The Status says so, and the log has no line.
func TestDecoderOfAFake(t *testing.T) {
	for name, wrap := range map[string]func(kubernetes.Interface) kubernetes.Interface{
		"fake":    func(client kubernetes.Interface) kubernetes.Interface { return client },
		"wrapped": func(client kubernetes.Interface) kubernetes.Interface { return wrappedClient{client} },
	} {
		eachCaseInBubble(t, name, func(t *testing.T, newSource modeltest.NewSource) {
			log := new(logLines)
			source := newSource(watchsource.NewStore(), wrap(fake.NewClientset(pod("1"))), watchsource.WithLogger(log.logger(4)))
			start(t, source, "app")
			defer source.Stop()
			wantDecoder(t, source, "fake")
			wantLines(t, log, 0, decodedByClientGo)
		})
	}
}

// A changingProxy asks for JSON in place of protobuf while json is true.
type changingProxy struct{ json atomic.Bool }

func (p *changingProxy) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		if p.json.Load() {
			return jsonOnly(next).RoundTrip(r)
		}
		return next.RoundTrip(r)
	})
}

// The Status names the decoder of the last answer. The log has one line for the first slow one.
func TestDecoderChangesWithTheAnswers(t *testing.T) {
	const slow = "client-go: the API server answers in application/json"
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		server := watchtest.NewServer()
		server.Create(pod("1"))
		proxy := new(changingProxy)
		config := server.Config()
		config.Wrap(proxy.wrap)
		log := new(logLines)
		source := newSource(watchsource.NewStore(), clientFor(t, config), watchsource.WithLogger(log.logger(0)))
		start(t, source, "app")
		defer source.Stop()
		wantDecoder(t, source, "protobuf")
		for lines, json := range []bool{true, false, true, false} {
			proxy.json.Store(json)
			server.Strike(watchtest.Cut())
			server.Update("jobs", "exec-1", touch)
			time.Sleep(time.Minute)
			want := "protobuf"
			if json {
				want = slow
			}
			wantDecoder(t, source, want)
			wantLines(t, log, min(lines+1, 1), decodedByClientGo)
		}
	})
}

// A SharedWatch names the decoder, and logs one line for all its sources.
func TestDecoderOfASharedWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const slow = "client-go: the client asks for application/json"
		server := watchtest.NewServer()
		log := new(logLines)
		shared := watchsource.NewSharedWatch(server.JSONClient(), watchsource.WithLogger(log.logger(0)))
		if got := shared.Status().Decoder; got != "" {
			t.Errorf("the decoder is %q before the first Start, want none", got)
		}
		_, first := startShared(t, shared, "a")
		_, second := startShared(t, shared, "b")
		wantDecoder(t, first, slow)
		wantDecoder(t, second, slow)
		wantLines(t, log, 1, decodedByClientGo)
		first.Stop()
		second.Stop()
		if got := shared.Status().Decoder; got != slow {
			t.Errorf("the decoder is %q after the last Stop, want %q", got, slow)
		}
	})
}

// An answer that comes after Stop changes neither the Status of the next Start nor the log: the
// transport does not end its requests with their contexts.
func TestDecoderOfALateAnswer(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		server := watchtest.NewServer(watchtest.WithoutStreamingLists())
		server.Create(pod("1"))
		proxy, hold := new(changingProxy), make(chan struct{})
		proxy.json.Store(true)
		config := server.Config()
		config.Transport = uncancellableTransport{config.Transport}
		config.Wrap(func(next http.RoundTripper) http.RoundTripper {
			return roundTripper(func(r *http.Request) (*http.Response, error) {
				answer, err := proxy.wrap(next).RoundTrip(r)
				if r.URL.Query().Get("watch") == "" && proxy.json.Load() {
					<-hold
				}
				return answer, err
			})
		})
		log := new(logLines)
		source := newSource(watchsource.NewStore(), clientFor(t, config), watchsource.WithLogger(log.logger(0)))
		failed := make(chan error)
		go func() { failed <- source.Start("app") }()
		synctest.Wait()
		source.Stop()
		if err := <-failed; err == nil {
			t.Error("Start has succeeded, want it stopped")
		}
		proxy.json.Store(false)
		start(t, source, "app")
		defer source.Stop()
		close(hold)
		synctest.Wait()
		wantDecoder(t, source, "protobuf")
		wantLines(t, log, 0, decodedByClientGo)
	})
}
