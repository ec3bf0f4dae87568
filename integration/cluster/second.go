// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"net/url"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// A SecondServer is another API server of the same cluster: the same store, certificates and users.
type SecondServer struct{ server *envtest.APIServer }

// secondStopTimeout is short: a server without its store does not end in good order.
const secondStopTimeout = 5 * time.Second

// StartSecondServer starts another API server, which reaches the store at the given address,
// for example that of a proxy.
func (c *Cluster) StartSecondServer(store *url.URL) (*SecondServer, error) {
	first := c.plane.APIServer
	s := &SecondServer{&envtest.APIServer{
		Path: first.Path, CertDir: first.CertDir, EtcdURL: store, StartTimeout: startTimeout, StopTimeout: secondStopTimeout,
	}}
	s.server.SecureServing.Authn = first.SecureServing.Authn
	configure(s.server)
	if err := s.server.Start(); err != nil {
		return nil, fmt.Errorf("start another API server: %w", err)
	}
	return s, nil
}

// URL is the address of the server, to which a configuration of the cluster can be pointed.
func (s *SecondServer) URL() *url.URL { return s.server.SecureServing.URL("https", "/") }

// Stop ends the server and waits for it. A server that has lost its store is killed, and that is an
// error.
func (s *SecondServer) Stop() error { return s.server.Stop() }

// StoreURL is where the API servers reach the store.
func (c *Cluster) StoreURL() *url.URL { return c.store.url() }
