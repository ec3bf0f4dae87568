// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

const (
	startTimeout = time.Minute
	stopTimeout  = 30 * time.Second
)

// A Cluster is one etcd and one kube-apiserver. Only the API server's port
// authenticates clients, by certificate or token, and it authorizes them by RBAC.
type Cluster struct {
	plane *envtest.ControlPlane
	dir   string // certificates and data, which outlive a restart
	admin *envtest.AuthenticatedUser
}

// Start builds the programs if need be, starts them, and returns when pods can
// be created in the namespace default. It tells report what takes long.
func Start(ctx context.Context, report func(string)) (*Cluster, error) {
	return StartWith(ctx, report)
}

// StartWith is Start with further flags of kube-apiserver, each a name and a value:
// "feature-gates=ShardedListAndWatch=true".
func StartWith(ctx context.Context, report func(string), flags ...string) (*Cluster, error) {
	programs, err := findBinaries(ctx, report)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "watchsource-cluster-*")
	if err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	c, err := newCluster(dir, programs)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	for _, flag := range flags {
		name, value, _ := strings.Cut(flag, "=")
		c.plane.APIServer.Configure().Set(name, value)
	}
	if err := c.start(ctx); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

func newCluster(dir string, programs binaries) (*Cluster, error) {
	etcd, err := guarded(dir, programs.etcd)
	if err != nil {
		return nil, err
	}
	apiserver, err := guarded(dir, programs.apiserver)
	if err != nil {
		return nil, err
	}
	c := &Cluster{dir: dir, plane: &envtest.ControlPlane{
		Etcd: &envtest.Etcd{
			Path:         etcd,
			DataDir:      filepath.Join(dir, "etcd-data"),
			StartTimeout: startTimeout,
			StopTimeout:  stopTimeout,
		},
		APIServer: &envtest.APIServer{
			Path:         apiserver,
			CertDir:      filepath.Join(dir, "apiserver-certificates"),
			StartTimeout: startTimeout,
			StopTimeout:  stopTimeout,
		},
	}}
	c.plane.APIServer.Configure().
		// A loopback address is refused as the endpoint of the service
		// kubernetes, which is not used here. The server would log errors for ever.
		Set("advertise-address", "127.0.0.1").
		Set("endpoint-reconciler-type", "none").
		// Otherwise an open watch keeps the server from stopping for a minute.
		Set("shutdown-watch-termination-grace-period", "1s")
	return c, nil
}

func (c *Cluster) start(ctx context.Context) error {
	for _, dir := range []string{c.plane.Etcd.DataDir, c.plane.APIServer.CertDir} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make data directory: %w", err)
		}
	}
	if err := c.plane.Start(); err != nil {
		return fmt.Errorf("start control plane: %w", err)
	}
	admin, err := c.plane.AddUser(envtest.User{Name: "admin", Groups: []string{"system:masters"}}, unthrottled())
	if err != nil {
		return fmt.Errorf("add administrator: %w", err)
	}
	c.admin = admin
	return c.waitForNamespace(ctx)
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

// StopAPIServer takes the API server away and leaves etcd, as an upgrade of a
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
	err := c.plane.Stop()
	return errors.Join(err, os.RemoveAll(c.dir))
}
