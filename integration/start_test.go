// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/executorpods/watchsource"
	"go.uber.org/goleak"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/cert"
)

// startTimeout is short, because some of the servers here never answer.
const startTimeout = 1500 * time.Millisecond

// Guarantee 7, at the start: whatever keeps Start from working comes back as an
// error that says what, and leaves nothing behind.
func TestStartFails(t *testing.T) {
	client := admin(t)
	namespace := newNamespace(t, client)
	nobody := newUser(t, "nobody")
	lister := newUser(t, "lister")
	lister.mayOnly(t, client, namespace, "list")
	watcher := newUser(t, "watcher")
	watcher.mayOnly(t, client, namespace, "watch")
	wideReader := newUser(t, "reader")
	wideReader.mayOnly(t, client, namespace, "list", "watch")

	for _, test := range []struct {
		name          string
		config        *rest.Config
		allNamespaces bool
		is            func(error) bool
		says          []string
		within        time.Duration
	}{
		{
			name:   "no rights",
			config: nobody.config,
			is:     apierrors.IsForbidden,
			says:   []string{"watch", "pods", namespace, `"nobody"`},
		},
		{
			name:   "no rights, plain lists",
			config: altered(nobody.config, refusingStreamedLists),
			is:     apierrors.IsForbidden,
			says:   []string{"list", "pods", namespace, `"nobody"`},
		},
		{
			name:          "rights in one namespace, asked for all",
			config:        wideReader.config,
			allNamespaces: true,
			is:            apierrors.IsForbidden,
			says:          []string{"watch", "pods", "all namespaces", "ClusterRole", "WithNamespace"},
		},
		{
			name:   "may list and not watch",
			config: lister.config,
			is:     apierrors.IsForbidden,
			says:   []string{"watch", "pods", namespace, `"lister"`},
		},
		{
			name:   "may list and not watch, plain lists",
			config: altered(lister.config, refusingStreamedLists),
			is:     apierrors.IsForbidden,
			says:   []string{"watch", "pods", namespace, `"lister"`},
		},
		{
			name:   "may watch and not list, plain lists",
			config: altered(watcher.config, refusingStreamedLists),
			is:     apierrors.IsForbidden,
			says:   []string{"list", "pods", namespace, `"watcher"`},
		},
		{
			name:   "bad token",
			config: withToken("no-token-of-this-server"),
			is:     apierrors.IsUnauthorized,
			says:   []string{"token"},
		},
		{
			name:   "certificate of another authority",
			config: withTLS(func(tls *rest.TLSClientConfig) { tls.CAData = otherAuthority(t) }),
			is:     isA[x509.UnknownAuthorityError],
			says:   []string{"certificate"},
		},
		{
			name:   "certificate for another name",
			config: withTLS(func(tls *rest.TLSClientConfig) { tls.ServerName = "other.example" }),
			is:     isA[x509.HostnameError],
			says:   []string{"other.example"},
		},
		{
			name:   "nobody listens",
			config: withHost("https://" + deafPort(t)),
			is:     func(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) },
			says:   []string{"connection refused"},
			within: startTimeout + time.Second,
		},
		{
			name:   "accepts and says nothing",
			config: withHost("https://" + silentPort(t)),
			is:     isTimeout,
			says:   []string{startTimeout.String()},
			within: startTimeout + time.Second,
		},
		{
			name:   "accepts a request and does not answer",
			config: silentServer(t),
			is:     isTimeout,
			says:   []string{startTimeout.String()},
			within: startTimeout + time.Second,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := goleak.IgnoreCurrent()
			watched := namespace
			if test.allNamespaces {
				watched = ""
			}
			took, err := failToStart(t, test.config, watched)
			t.Logf("after %v: %v", took.Round(time.Millisecond), err)
			if !test.is(err) {
				t.Errorf("error not recognised: %v", err)
			}
			for _, word := range test.says {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("the error does not say %q: %v", word, err)
				}
			}
			if within := max(test.within, startTimeout); took > within {
				t.Errorf("took %v, want at most %v", took, within)
			}
			goleak.VerifyNone(t, before)
		})
	}
}

// failToStart tries to start and returns how it failed, with the client's
// connections closed.
func failToStart(t *testing.T, config *rest.Config, namespace string) (time.Duration, error) {
	t.Helper()
	var err error
	var took time.Duration
	t.Run("start", func(t *testing.T) {
		store := watchsource.NewStore()
		source := watchsource.NewWatchSnapshotSource(store, newClient(t, config),
			watchsource.WithNamespace(namespace), watchsource.WithStartTimeout(startTimeout))
		begin := time.Now()
		err = source.Start(appID)
		took = time.Since(begin)
		if err == nil {
			source.Stop()
			t.Fatal("Start returned nil, want an error")
		}
		if phase := source.Status().Phase; phase != watchsource.Stopped {
			t.Errorf("after the failure the phase is %v, want Stopped", phase)
		}
		if store.Snapshot().Complete() {
			t.Error("after the failure the store has a complete view, want none")
		}
	})
	if t.Failed() {
		t.FailNow()
	}
	return took, err
}

func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

func isTimeout(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) && apierrors.IsTimeout(err)
}

func withToken(token string) *rest.Config {
	config := rest.AnonymousClientConfig(server.Config())
	config.BearerToken = token
	return config
}

func withTLS(change func(*rest.TLSClientConfig)) *rest.Config {
	config := server.Config()
	change(&config.TLSClientConfig)
	return config
}

func withHost(host string) *rest.Config {
	config := server.Config()
	config.Host = host
	return config
}

// otherAuthority is a certificate that did not sign the server's.
func otherAuthority(t *testing.T) []byte {
	t.Helper()
	certificate, _, err := cert.GenerateSelfSignedCertKey("other.example", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

// deafPort returns an address without a listener.
func deafPort(t *testing.T) string {
	t.Helper()
	listener := listen(t)
	listener.Close()
	return listener.Addr().String()
}

// silentPort returns an address at which only the kernel accepts connections.
func silentPort(t *testing.T) string {
	t.Helper()
	return listen(t).Addr().String()
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener
}

// silentServer reads requests and leaves them waiting.
func silentServer(t *testing.T) *rest.Config {
	t.Helper()
	silent := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) {
		<-request.Context().Done()
	}))
	silent.EnableHTTP2 = true
	silent.StartTLS()
	t.Cleanup(silent.Close)
	return &rest.Config{Host: silent.URL, TLSClientConfig: rest.TLSClientConfig{
		CAData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: silent.Certificate().Raw}),
	}}
}

// A source without the right to watch works after the right was granted, without a new
// source.
func TestStartAgainOnceAllowed(t *testing.T) {
	client := admin(t)
	namespace := newNamespace(t, client)
	created := create(t, client, executorPod(namespace, appID, 1))
	late := newUser(t, "late")
	late.mayOnly(t, client, namespace)

	w := &consumer{name: "late", app: appID, namespace: namespace, store: watchsource.NewStore()}
	w.source = watchsource.NewWatchSnapshotSource(w.store, newClient(t, late.config), watchsource.WithNamespace(namespace))
	defer w.source.Stop()
	if err := w.source.Start(appID); !apierrors.IsForbidden(err) {
		t.Fatalf("Start without rights: %v", err)
	}
	late.mayOnly(t, client, namespace, "list", "watch")
	if err := w.source.Start(appID); err != nil {
		t.Fatalf("Start with rights: %v", err)
	}
	if _, found := w.store.Snapshot().Get(created[0].Name); !found {
		t.Error("the pod is missing after Start, want it in the view")
	}
	w.mustAgree(t, client, "after the second Start")
}

// With a streaming list the right to watch is enough. On a server with the gate WatchList off, the
// right to list is needed too, and Start says so.
func TestStartWithTheRightToWatchOnly(t *testing.T) {
	client := admin(t)
	namespace := newNamespace(t, client)
	create(t, client, executorPod(namespace, appID, 1))
	watchOnly := newUser(t, "watch-only")
	watchOnly.mayOnly(t, client, namespace, "watch")
	if server.StreamsLists() {
		newConsumer(t, "watch only", watchOnly.config, namespace).mustAgree(t, client, "after Start")
		return
	}
	_, err := failToStart(t, watchOnly.config, namespace)
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), `cannot list resource "pods"`) {
		t.Errorf("Start = %v, want an error that says that the user cannot list pods", err)
	}
}
