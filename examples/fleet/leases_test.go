// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/executorpods/watchsource/internal/sleep"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	typedcoordinationv1 "k8s.io/client-go/kubernetes/typed/coordination/v1"
)

// A leaseServer keeps Leases as the API server does: an update of an old version fails.
type leaseServer struct {
	mu      sync.Mutex
	leases  map[string]*coordinationv1.Lease
	version int
}

func newLeaseServer() *leaseServer {
	return &leaseServer{leases: map[string]*coordinationv1.Lease{}}
}

// client returns a client whose requests meet the faults of a network.
func (s *leaseServer) client(network *network) kubernetes.Interface {
	return leaseClientset{leases: leaseClient{server: s, network: network}}
}

type leaseClientset struct {
	kubernetes.Interface
	leases leaseClient
}

func (c leaseClientset) CoordinationV1() typedcoordinationv1.CoordinationV1Interface {
	return coordinationClient{leases: c.leases}
}

type coordinationClient struct {
	typedcoordinationv1.CoordinationV1Interface
	leases leaseClient
}

func (c coordinationClient) Leases(string) typedcoordinationv1.LeaseInterface { return c.leases }

type leaseClient struct {
	typedcoordinationv1.LeaseInterface
	server  *leaseServer
	network *network
}

var leases = coordinationv1.Resource("leases")

func (c leaseClient) Get(ctx context.Context, name string, _ metav1.GetOptions) (*coordinationv1.Lease, error) {
	return request(ctx, c, func() (*coordinationv1.Lease, error) {
		lease := c.server.leases[name]
		if lease == nil {
			return nil, apierrors.NewNotFound(leases, name)
		}
		return lease.DeepCopy(), nil
	})
}

func (c leaseClient) List(ctx context.Context, _ metav1.ListOptions) (*coordinationv1.LeaseList, error) {
	return request(ctx, c, func() (*coordinationv1.LeaseList, error) {
		list := &coordinationv1.LeaseList{}
		for _, name := range slices.Sorted(maps.Keys(c.server.leases)) {
			list.Items = append(list.Items, *c.server.leases[name].DeepCopy())
		}
		return list, nil
	})
}

func (c leaseClient) Create(ctx context.Context, lease *coordinationv1.Lease, _ metav1.CreateOptions) (*coordinationv1.Lease, error) {
	return request(ctx, c, func() (*coordinationv1.Lease, error) {
		if c.server.leases[lease.Name] != nil {
			return nil, apierrors.NewAlreadyExists(leases, lease.Name)
		}
		return c.server.put(lease), nil
	})
}

func (c leaseClient) Update(ctx context.Context, lease *coordinationv1.Lease, _ metav1.UpdateOptions) (*coordinationv1.Lease, error) {
	return request(ctx, c, func() (*coordinationv1.Lease, error) {
		last := c.server.leases[lease.Name]
		switch {
		case c.network.readOnly.Load():
			return nil, apierrors.NewForbidden(leases, lease.Name, errors.New("read-only"))
		case last == nil:
			return nil, apierrors.NewNotFound(leases, lease.Name)
		case last.ResourceVersion != lease.ResourceVersion:
			return nil, apierrors.NewConflict(leases, lease.Name, errors.New("it has changed"))
		}
		return c.server.put(lease), nil
	})
}

func (c leaseClient) Delete(ctx context.Context, name string, options metav1.DeleteOptions) error {
	_, err := request(ctx, c, func() (*coordinationv1.Lease, error) {
		lease := c.server.leases[name]
		switch {
		case lease == nil:
			return nil, apierrors.NewNotFound(leases, name)
		case options.Preconditions != nil && *options.Preconditions.ResourceVersion != lease.ResourceVersion:
			return nil, apierrors.NewConflict(leases, name, errors.New("it has changed"))
		}
		delete(c.server.leases, name)
		return nil, nil
	})
	return err
}

// renewed returns when a Lease was renewed.
func (s *leaseServer) renewed(name string) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leases[name].Spec.RenewTime.Time
}

// remove deletes a Lease, as a user does.
func (s *leaseServer) remove(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.leases, name)
}

// put stores a Lease as a new version. s.mu is held.
func (s *leaseServer) put(lease *coordinationv1.Lease) *coordinationv1.Lease {
	s.version++
	lease = lease.DeepCopy()
	lease.ResourceVersion = strconv.Itoa(s.version)
	s.leases[lease.Name] = lease
	return lease.DeepCopy()
}

// request performs a request. If ctx ends before it reaches the server, it may still reach
// it later.
func request[T any](ctx context.Context, c leaseClient, do func() (T, error)) (T, error) {
	perform := func() (T, error) {
		c.server.mu.Lock()
		defer c.server.mu.Unlock()
		return do()
	}
	var none T
	there, back := c.network.delay(), c.network.delay()
	sent := time.Now()
	sleep.For(ctx, there)
	if c.network.partitioned.Load() {
		return none, errors.New("connection refused")
	}
	if ctx.Err() != nil {
		time.AfterFunc(there-time.Since(sent), func() { perform() })
		return none, ctx.Err()
	}
	result, err := perform()
	sleep.For(ctx, back)
	if ctx.Err() != nil {
		return none, ctx.Err()
	}
	return result, err
}

// A network is between a client and the leaseServer.
type network struct {
	partitioned atomic.Bool // requests fail
	readOnly    atomic.Bool // updates fail

	mu       sync.Mutex
	random   *rand.Rand
	maxDelay time.Duration
}

func (n *network) delay() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.maxDelay == 0 {
		return 0
	}
	return time.Duration(n.random.Int64N(int64(n.maxDelay)))
}

func (n *network) delayUpTo(d time.Duration, random *rand.Rand) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.maxDelay, n.random = d, random
}
