// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

const (
	startTimeout = 3 * time.Minute // on a machine that builds something at the same time
	stopTimeout  = 30 * time.Second
)

// A Cluster is one store, by default an etcd, and one kube-apiserver. Only the API server's port
// authenticates clients, by certificate or token, and it authorizes them by RBAC.
type Cluster struct {
	setup Setup
	store store
	plane *envtest.ControlPlane
	dir   string // certificates and data, which outlive a restart
	admin *envtest.AuthenticatedUser

	// What the API server is, learnt after it has started.
	version      string
	streamsLists bool
}

// Start builds the programs if need be, starts them, and returns when pods can
// be created in the namespace default. It tells report what takes long.
func Start(ctx context.Context, setup Setup, report func(string)) (*Cluster, error) {
	programs, err := findBinaries(ctx, setup, report)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "watchsource-cluster-*")
	if err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	c, err := newCluster(setup, dir, programs)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	for _, flag := range setup.Flags {
		name, value, _ := strings.Cut(flag, "=")
		c.plane.APIServer.Configure().Set(name, value)
	}
	if err := c.start(ctx); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

func newCluster(setup Setup, dir string, programs binaries) (*Cluster, error) {
	apiserver, err := guarded(dir, programs.apiserver)
	if err != nil {
		return nil, err
	}
	store, err := newStore(setup.Store, dir, programs)
	if err != nil {
		return nil, err
	}
	c := &Cluster{setup: setup, store: store, dir: dir, plane: &envtest.ControlPlane{
		APIServer: &envtest.APIServer{
			Path:         apiserver,
			CertDir:      filepath.Join(dir, "apiserver-certificates"),
			StartTimeout: startTimeout,
			StopTimeout:  stopTimeout,
		},
	}}
	configure(c.plane.APIServer)
	return c, nil
}

func configure(server *envtest.APIServer) {
	server.Configure().
		// A loopback address is refused as the endpoint of the service
		// kubernetes, which is not used here. The server would log errors for ever.
		Set("advertise-address", "127.0.0.1").
		Set("endpoint-reconciler-type", "none").
		// Otherwise an open watch keeps the server from stopping for a minute.
		Set("shutdown-watch-termination-grace-period", "1s")
}

func (c *Cluster) start(ctx context.Context) error {
	if err := os.MkdirAll(c.plane.APIServer.CertDir, 0o700); err != nil {
		return fmt.Errorf("make data directory: %w", err)
	}
	if err := c.store.start(ctx); err != nil {
		return fmt.Errorf("start store: %w", err)
	}
	c.plane.APIServer.EtcdURL = c.store.url()
	if err := c.plane.APIServer.Start(); err != nil {
		return fmt.Errorf("start API server: %w", err)
	}
	admin, err := c.plane.AddUser(envtest.User{Name: "admin", Groups: []string{"system:masters"}}, unthrottled())
	if err != nil {
		return fmt.Errorf("add administrator: %w", err)
	}
	c.admin = admin
	if err := c.waitForNamespace(ctx); err != nil {
		return err
	}
	return c.askAbilities(ctx)
}

// unthrottled is for clients that have the server to themselves.
func unthrottled() *rest.Config { return &rest.Config{QPS: -1} }

// waitForNamespace waits for what the server creates by itself after it has
// called itself healthy.
func (c *Cluster) waitForNamespace(ctx context.Context) error {
	client, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		return fmt.Errorf("make client: %w", err)
	}
	var last error
	err = wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, startTimeout, true, func(ctx context.Context) (bool, error) {
		_, last = client.CoreV1().Namespaces().Get(ctx, metav1.NamespaceDefault, metav1.GetOptions{})
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("wait for namespace default: %w", errors.Join(err, last))
	}
	return nil
}

// askAbilities learns the server's version and gates, which the setup does not say if the
// programs were given by KUBEBUILDER_ASSETS.
func (c *Cluster) askAbilities(ctx context.Context) error {
	client, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		return fmt.Errorf("make client: %w", err)
	}
	version, err := client.Discovery().ServerVersion()
	if err != nil {
		return fmt.Errorf("ask for the version of the API server: %w", err)
	}
	metrics, err := client.CoreV1().RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return fmt.Errorf("ask for the feature gates of the API server: %w", err)
	}
	c.version, c.streamsLists = version.GitVersion, watchListEnabled.Match(metrics)
	return nil
}

var watchListEnabled = regexp.MustCompile(`(?m)^kubernetes_feature_enabled\{name="WatchList",[^}]*\} 1$`)

// Version is the API server's, for example v1.34.4.
func (c *Cluster) Version() string { return c.version }

// StreamsLists reports whether the API server answers a streaming list. By default its gate
// WatchList is off in 1.31 and 1.33, and on in 1.32 and since 1.34.
func (c *Cluster) StreamsLists() bool { return c.streamsLists }

// Store is what the API server keeps its objects in.
func (c *Cluster) Store() Store { return c.setup.Store }

// Config is the administrator's, without client-side throttling.
func (c *Cluster) Config() *rest.Config { return rest.CopyConfig(c.admin.Config()) }

// AddUser makes a user who may do nothing until RBAC says otherwise.
func (c *Cluster) AddUser(name string) (*rest.Config, error) {
	user, err := c.plane.AddUser(envtest.User{Name: name}, unthrottled())
	if err != nil {
		return nil, fmt.Errorf("add user %s: %w", name, err)
	}
	return rest.CopyConfig(user.Config()), nil
}

// StopAPIServer takes the API server away and leaves the store, as an upgrade of a
// control plane with one node does. StartAPIServer brings it back at the same
// address, with the same certificates and users.
func (c *Cluster) StopAPIServer() error {
	if err := c.plane.APIServer.Stop(); err != nil {
		return fmt.Errorf("stop API server: %w", err)
	}
	return nil
}

// StartAPIServer undoes StopAPIServer.
func (c *Cluster) StartAPIServer(ctx context.Context) error {
	if err := c.plane.APIServer.Start(); err != nil {
		return fmt.Errorf("start API server: %w", err)
	}
	return c.waitForNamespace(ctx)
}

// Stop ends both programs, waits for them and removes their data.
func (c *Cluster) Stop() error {
	err := errors.Join(c.plane.Stop(), c.store.stop())
	return errors.Join(err, os.RemoveAll(c.dir))
}
