// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/watchtest"
)

// coreClient is a client whose CoreV1 is another one.
type coreClient struct {
	kubernetes.Interface
	core typedcorev1.CoreV1Interface
}

func (c coreClient) CoreV1() typedcorev1.CoreV1Interface { return c.core }

// restCore is a CoreV1 with another REST client.
type restCore struct {
	typedcorev1.CoreV1Interface
	client rest.Interface
}

func (c restCore) RESTClient() rest.Interface { return c.client }

// podsCore is a hand-written double of which a test needs the pods only.
type podsCore struct {
	typedcorev1.CoreV1Interface
	pods func(namespace string) typedcorev1.PodInterface
}

func (c podsCore) Pods(namespace string) typedcorev1.PodInterface { return c.pods(namespace) }

func (podsCore) RESTClient() rest.Interface { return nil }

// fakeForms are the ways in which a test passes a fake clientset.
var fakeForms = map[string]func(*fake.Clientset) kubernetes.Interface{
	"bare":                  func(c *fake.Clientset) kubernetes.Interface { return c },
	"embedded":              func(c *fake.Clientset) kubernetes.Interface { return struct{ kubernetes.Interface }{c} },
	"embedded by a pointer": func(c *fake.Clientset) kubernetes.Interface { return &struct{ kubernetes.Interface }{c} },
	"embedded twice": func(c *fake.Clientset) kubernetes.Interface {
		return coreClient{struct{ kubernetes.Interface }{c}, c.CoreV1()}
	},
	"embedded core": func(c *fake.Clientset) kubernetes.Interface { return wrappedClient{c} },
	"core without a REST client": func(c *fake.Clientset) kubernetes.Interface {
		return coreClient{c, restCore{c.CoreV1(), nil}}
	},
	"core with the pods only": func(c *fake.Clientset) kubernetes.Interface {
		return coreClient{nil, podsCore{nil, c.CoreV1().Pods}}
	},
}

func eachFake(t *testing.T, test func(t *testing.T, newSource modeltest.NewSource, form func(*fake.Clientset) kubernetes.Interface)) {
	eachConstructor(t, func(t *testing.T, newSource modeltest.NewSource) {
		for name, form := range fakeForms {
			inBubble(t, name, func(t *testing.T) { test(t, newSource, form) })
		}
	})
}

// plainListsClient is a client of a server that says, as client-go's fake does, that streaming
// lists do not work with it.
type plainListsClient struct{ kubernetes.Interface }

func (plainListsClient) IsWatchListSemanticsUnSupported() bool { return true }

// A client of a server is no fake, whatever it says of streaming lists: its watches are
// resumed, and its silent ones given up.
func TestClientThatRefusesStreamingLists(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		server := watchtest.NewServer()
		server.Create(pod("1"))
		store := watchsource.NewStore()
		source := newSource(store, plainListsClient{server.Client()})
		start(t, source, "app")
		defer source.Stop()
		if n := server.Count(watchtest.StreamingList); n > 0 {
			t.Errorf("%d streaming lists, want none", n)
		}
		server.Strike(watchtest.Cut())
		server.Create(pod("2"))
		time.Sleep(time.Minute)
		server.Strike(watchtest.Silence())
		server.Create(pod("3"))
		time.Sleep(10 * time.Minute)
		wantEqualToList(t, server, store)
		if got := source.Status(); got.Lists != 1 || got.Stalls != 1 || got.Resumes < 2 {
			t.Errorf("status %+v, want one list, one stall and resumes", got)
		}
	})
}

// A wrapper of an ordinary client is no fake: its silent watch is given up.
func TestWrappedClientIsNoFake(t *testing.T) {
	wrappers := map[string]func(kubernetes.Interface) kubernetes.Interface{
		"embedded":      func(c kubernetes.Interface) kubernetes.Interface { return struct{ kubernetes.Interface }{c} },
		"embedded core": func(c kubernetes.Interface) kubernetes.Interface { return wrappedClient{c} },
		"other REST client": func(c kubernetes.Interface) kubernetes.Interface {
			return coreClient{c, restCore{c.CoreV1(), struct{ rest.Interface }{c.CoreV1().RESTClient()}}}
		},
	}
	for name, wrap := range wrappers {
		eachCaseInBubble(t, name, func(t *testing.T, newSource modeltest.NewSource) {
			server := watchtest.NewServer()
			store := watchsource.NewStore()
			source := newSource(store, wrap(server.Client()))
			start(t, source, "app")
			defer source.Stop()
			server.Strike(watchtest.Silence())
			server.Create(pod("1"))
			time.Sleep(20 * time.Minute)
			wantEqualToList(t, server, store)
			if got := source.Status(); got.Stalls != 1 || got.Relists != 0 {
				t.Errorf("status %+v, want one stall and no relist", got)
			}
		})
	}
}
