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
	"github.com/executorpods/watchsource/internal/samplepod"
	"github.com/executorpods/watchsource/watchtest"
)

// ownClient wraps a clientset in another type, so the source can only call its methods.
type ownClient struct{ kubernetes.Interface }

func (c ownClient) CoreV1() typedcorev1.CoreV1Interface {
	return struct{ typedcorev1.CoreV1Interface }{c.Interface.CoreV1()}
}

func clientFor(t *testing.T, config *rest.Config) kubernetes.Interface {
	t.Helper()
	client, err := kubernetes.NewForConfig(config)
	must(t, err)
	return client
}

const decodedByClientGo = "Pods are decoded by client-go"

// The decoder in use shows in the pods: this library's states of a pod share parts, and
// client-go's do not.
func TestDecoderInUse(t *testing.T) {
	for name, options := range map[string][]watchtest.Option{
		"streaming list": nil,
		"plain list":     {watchtest.WithoutStreamingLists()},
	} {
		for media, settings := range map[string]rest.ContentConfig{
			"protobuf by default":    {},
			"protobuf":               {ContentType: "application/vnd.kubernetes.protobuf"},
			"protobuf before others": {AcceptContentTypes: "application/vnd.kubernetes.protobuf,application/json", ContentType: "application/json"},
		} {
			t.Run(name+"/"+media, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					server := watchtest.NewServer(options...)
					server.Create(pod("1", container(executorContainer, running())))
					config := server.Config()
					config.ContentConfig = settings
					log := new(logLines)
					store := watchsource.NewStore()
					source := watchsource.NewWatchSnapshotSource(store, clientFor(t, config), watchsource.WithLogger(log.logger(4)))
					start(t, source, "app")
					defer source.Stop()
					listed, _ := store.Snapshot().Get("exec-1")
					server.Update("jobs", "exec-1", phase(corev1.PodRunning))
					synctest.Wait()
					watched, _ := store.Snapshot().Get("exec-1")
					if watched.State != watchsource.Running {
						t.Fatalf("state %v", watched.State)
					}
					if &listed.Pod.Spec.Containers[0] != &watched.Pod.Spec.Containers[0] {
						t.Error("a pod's spec was decoded twice")
					}
					if lines := log.matching(decodedByClientGo); len(lines) > 0 {
						t.Errorf("logged %s", lines)
					}
				})
			})
		}
	}
}

// The store gets the same pods from either decoder: listed, added, modified and deleted.
func TestPodForms(t *testing.T) {
	clients := map[string]func(t *testing.T, server *watchtest.Server) kubernetes.Interface{
		"protobuf":             func(_ *testing.T, server *watchtest.Server) kubernetes.Interface { return server.Client() },
		"JSON through a proxy": jsonClient,
		"JSON client":          func(_ *testing.T, server *watchtest.Server) kubernetes.Interface { return server.JSONClient() },
		"own client":           func(_ *testing.T, server *watchtest.Server) kubernetes.Interface { return ownClient{server.Client()} },
	}
	for name, client := range clients {
		for list, server := range map[string][]watchtest.Option{
			"streaming list": nil,
			"plain list":     {watchtest.WithoutStreamingLists()},
		} {
			for form, whole := range map[string]bool{"whole": true, "trimmed": false} {
				t.Run(strings.Join([]string{name, list, form}, "/"), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						server := watchtest.NewServer(server...)
						for id := range 3 {
							server.Create(sample(id))
						}
						var options []watchsource.Option
						if !whole {
							options = append(options, watchsource.WithTrimmedPods())
						}
						pods := new(received)
						source := watchsource.NewWatchSnapshotSource(pods, client(t, server), options...)
						start(t, source, "app")
						defer source.Stop()
						server.Create(sample(3))
						server.Update("jobs", sample(1).Name, phase(corev1.PodSucceeded))
						server.Delete("jobs", sample(2).Name)
						synctest.Wait()
						pods.check(t, server, whole)
					})
				})
			}
		}
	}
	t.Run("fake", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			pods := new(received)
			source := watchsource.NewWatchSnapshotSource(pods, fake.NewClientset(sample(1)), watchsource.WithTrimmedPods())
			start(t, source, "app")
			defer source.Stop()
			wantPod(t, pods.all[0], sample(1), false)
		})
	})
}

// sample is a pod with something in most parts, among them containers that have
// a restart policy and rules.
func sample(id int) *corev1.Pod {
	p := samplepod.Executor(id, 1)
	always := corev1.ContainerRestartPolicyAlways
	p.Spec.InitContainers = append(p.Spec.InitContainers, corev1.Container{Name: "proxy", Image: "proxy", RestartPolicy: &always})
	never := corev1.ContainerRestartPolicyNever
	p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "logs", Image: "logs", RestartPolicy: &never, RestartPolicyRules: []corev1.ContainerRestartRule{{
		Action:    corev1.ContainerRestartRuleActionRestart,
		ExitCodes: &corev1.ContainerRestartRuleOnExitCodes{Operator: corev1.ContainerRestartRuleOnExitCodesOpIn, Values: []int32{42, 43}},
	}}})
	return p
}

// received is a store that keeps all pods.
type received struct {
	mu  sync.Mutex
	all []*corev1.Pod
}

func (s *received) UpdatePod(p *corev1.Pod) { s.ReplaceSnapshot([]*corev1.Pod{p}) }
func (s *received) DeletePod(p *corev1.Pod) { s.ReplaceSnapshot([]*corev1.Pod{p}) }
func (s *received) ReplaceSnapshot(pods []*corev1.Pod) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, pods...)
}

// check compares three pods that were listed and three events with what the
// server had at their versions.
func (s *received) check(t *testing.T, server *watchtest.Server, whole bool) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.all) != 6 {
		t.Fatalf("%d pods, want 6", len(s.all))
	}
	for _, got := range s.all {
		want := sample(0)
		for id := range 4 {
			if p := sample(id); p.Name == got.Name {
				want = p
			}
		}
		want.ResourceVersion = got.ResourceVersion
		want.Status.Phase = got.Status.Phase
		wantPod(t, got, want, whole)
	}
	if s.all[4].Status.Phase != corev1.PodSucceeded {
		t.Errorf("phase %s after an update", s.all[4].Status.Phase)
	}
}

// wantPod fails unless got is the pod in the documented form.
func wantPod(t *testing.T, got, pod *corev1.Pod, whole bool) {
	t.Helper()
	want := pod.DeepCopy()
	want.ManagedFields = nil
	if !whole {
		want.Spec = trimmedSpec(pod)
	}
	if got.ManagedFields != nil || !equalPods(got, want) {
		t.Errorf("%s:\ngot  %+v\nwant %+v", got.Name, got, want)
	}
}

// The source calls the methods of an unusual client, and logs this at verbosity 4.
func TestUnusualClients(t *testing.T) {
	for _, test := range []struct {
		reason string
		client func(t *testing.T, server *watchtest.Server) kubernetes.Interface
	}{
		{"it is a struct", func(_ *testing.T, server *watchtest.Server) kubernetes.Interface { return ownClient{server.Client()} }},
		{"its REST client is a struct", func(t *testing.T, server *watchtest.Server) kubernetes.Interface {
			return kubernetes.New(struct{ rest.Interface }{server.Client().CoreV1().RESTClient()})
		}},
		{"it asks for application/json", func(_ *testing.T, server *watchtest.Server) kubernetes.Interface { return server.JSONClient() }},
		{"it has a warning handler of its own", func(t *testing.T, server *watchtest.Server) kubernetes.Interface {
			config := server.Config()
			config.WarningHandler = rest.NoWarnings{}
			return clientFor(t, config)
		}},
		{"an answer in application/json", jsonClient},
	} {
		t.Run(test.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := watchtest.NewServer()
				server.Create(pod("1"))
				debug, info := new(logLines), new(logLines)
				for _, log := range []struct {
					to        *logLines
					verbosity int
				}{{debug, 4}, {info, 3}} {
					store := watchsource.NewStore()
					source := watchsource.NewWatchSnapshotSource(store, test.client(t, server), watchsource.WithLogger(log.to.logger(log.verbosity)))
					start(t, source, "app")
					wantEqualToList(t, server, store)
					source.Stop()
				}
				if lines := debug.matching(decodedByClientGo, test.reason); len(lines) != 1 {
					t.Errorf("logged %q, want it once", debug.matching(decodedByClientGo))
				}
				if lines := info.matching(decodedByClientGo); len(lines) > 0 {
					t.Errorf("logged below debug level: %s", lines)
				}
			})
		})
	}
}

// The second client asks for what the first would: at the same address, with
// the same headers, and with leave of the same rate limiter.
func TestSameRequests(t *testing.T) {
	requests := func(t *testing.T, wrap func(kubernetes.Interface) kubernetes.Interface) (made []string, let int) {
		synctest.Test(t, func(t *testing.T) {
			server := watchtest.NewServer(watchtest.WithoutStreamingLists())
			for id := range 600 {
				server.Create(pod(fmt.Sprint(id)))
			}
			config := server.Config()
			limiter := new(countedLimiter)
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
					made = append(made, fmt.Sprintln(r.Method, r.URL.Host, r.URL.EscapedPath(), query.Encode(), r.Header))
					mu.Unlock()
					r.URL.Path = strings.TrimPrefix(r.URL.Path, "/behind/a proxy")
					return next.RoundTrip(r)
				})
			})
			source := watchsource.NewWatchSnapshotSource(watchsource.NewStore(), wrap(clientFor(t, config)), watchsource.WithNamespace("jobs"))
			start(t, source, "app")
			source.Stop()
			let = limiter.asked
		})
		return made, let
	}
	ours, oursLet := requests(t, func(client kubernetes.Interface) kubernetes.Interface { return client })
	theirs, theirsLet := requests(t, func(client kubernetes.Interface) kubernetes.Interface { return ownClient{client} })
	if len(ours) < 4 || !slices.Equal(ours, theirs) {
		t.Errorf("requests\n%s\nclient-go's\n%s", ours, theirs)
	}
	if oursLet == 0 || oursLet != theirsLet {
		t.Errorf("the rate limiter was asked %d times, by client-go %d times", oursLet, theirsLet)
	}
}

type countedLimiter struct{ asked int }

func (l *countedLimiter) TryAccept() bool            { return true }
func (l *countedLimiter) Accept()                    {}
func (l *countedLimiter) Stop()                      {}
func (l *countedLimiter) QPS() float32               { return 0 }
func (l *countedLimiter) Wait(context.Context) error { l.asked++; return nil }

// A rate limit holds up lists and never a watch, as with client-go's own.
func TestWatchesAreNotThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		server.Create(pod("1"))
		config := server.Config()
		config.RateLimiter = flowcontrol.NewFakeNeverRateLimiter()
		store := watchsource.NewStore()
		source := watchsource.NewWatchSnapshotSource(store, clientFor(t, config))
		start(t, source, "app")
		defer source.Stop()
		server.Strike(watchtest.Cut())
		server.Create(pod("2"))
		wantNames(t, store, "exec-1=Pending exec-2=Pending")
		if n := server.Count(watchtest.List); n > 0 {
			t.Errorf("%d lists got past the limit", n)
		}
	})
}

// deaf is a transport whose requests do not end with their context.
type deaf struct{ http.RoundTripper }

func (d deaf) RoundTrip(r *http.Request) (*http.Response, error) {
	return d.RoundTripper.RoundTrip(r.WithContext(context.WithoutCancel(r.Context())))
}

func TestStopWithADeafTransport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		config := server.Config()
		config.Transport = deaf{config.Transport}
		source := watchsource.NewWatchSnapshotSource(watchsource.NewStore(), clientFor(t, config))
		start(t, source, "app")
		synctest.Wait()
		began := time.Now()
		source.Stop()
		if took := time.Since(began); took > time.Second {
			t.Errorf("Stop took %v", took)
		}
		synctest.Wait()
		if n := len(server.Streams()); n > 0 {
			t.Errorf("%d streams left open", n)
		}
	})
}
