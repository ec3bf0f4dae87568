// SPDX-License-Identifier: Apache-2.0

// Package fleet divides applications among the replicas of a platform. It is an example
// for [watchsource.SharedWatch].
//
// An application belongs to one of [Buckets] buckets, by a hash of its id or of its
// namespace. The live replicas divide the buckets by rendezvous hashing. Each replica opens
// one SharedWatch per bucket that it owns, so that the API server sends it the pods of its
// own applications only.
//
// A replica has a Lease, which shows that it lives and which buckets it acts for. Two
// replicas may watch the same bucket for a moment, but only one acts. See the README for
// the rules.
package fleet

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/executorpods/watchsource"
	"github.com/go-logr/logr"
	"k8s.io/client-go/kubernetes"
)

// A Config has what a [Replica] needs.
type Config struct {
	// Client reads and writes the Leases. It needs the verbs get, list, create, update and
	// delete for them.
	Client kubernetes.Interface
	// Pods watches the pods. It needs the verbs list and watch for them. The default is
	// Client.
	Pods kubernetes.Interface
	// Namespace is the namespace of the Leases.
	Namespace string
	// Fleet is the name of the fleet, a valid label value. Its replicas find each other by it.
	Fleet string
	// Name is the name of the replica and of its Lease. No two processes of a namespace may
	// use the same name at the same time. The name of the process's pod is a good one.
	Name string
	// Act handles a batch of an application that this replica owns. The first batch after
	// the replica has begun to act for an application has every executor present. It may
	// repeat an end that another replica has handled, so Act must be idempotent. A pod that
	// was deleted while no replica acted is in no batch.
	//
	// Calls for one application come one after the other. Calls for different applications
	// come at the same time. ctx ends when the replica must not act for the application any
	// more. Act should return soon then: no other replica takes over before, unless this
	// one has lost its Lease.
	Act func(ctx context.Context, appID string, batch watchsource.Batch)
	// NamespaceOf returns the namespace in which an application has its executors. If it is
	// set, the bucket of an application is [ShardOf] its namespace, a bucket is watched with
	// WithShard in all namespaces, and no pod needs the bucket label. All replicas must do the
	// same. The function must always return the same namespace for an application, and several
	// goroutines may call it. If it is nil, the bucket is [BucketOf] the application.
	NamespaceOf func(appID string) string
	// Options apply to the watches, except WithSelector and WithShard, which the fleet sets.
	Options []watchsource.Option
	// Logger gets the changes of the fleet. The default discards them.
	Logger logr.Logger
}

// A Replica is one member of a fleet. Its methods are safe for concurrent use.
type Replica struct {
	// Fixed after New.
	config  Config
	keeper  *leaseKeeper
	changed chan struct{} // Add or Remove was called

	// Owned by the goroutine of Run.
	view      view
	wanted    bucketSet // those to watch
	claimable bucketSet // those that are wanted and free
	claims    bucketSet // those that the Lease should claim
	written   bool      // the last list showed claims
	acting    bucketSet
	shared    [Buckets]*watchsource.SharedWatch
	running   map[string]*application
	wait      sync.WaitGroup // for the goroutines of the applications

	// Guarded by mu.
	mu       sync.Mutex
	added    map[string]bool
	actUntil time.Time
	status   Status
}

// Status describes a replica.
type Status struct {
	// Members are the live replicas that this one knows, sorted.
	Members []string
	// Buckets are the buckets that this replica acts for, sorted.
	Buckets []int
	// Applications is how many applications this replica acts for.
	Applications int
	// Moves counts the buckets that this replica has begun to act for.
	Moves int
	// Err is why the last list of the Leases failed, or nil.
	Err error
}

// New returns a replica without applications. It does not touch the clients.
func New(config Config) (*Replica, error) {
	switch {
	case config.Client == nil:
		return nil, errors.New("fleet: Config.Client is nil")
	case config.Act == nil:
		return nil, errors.New("fleet: Config.Act is nil")
	case config.Namespace == "" || config.Fleet == "" || config.Name == "":
		return nil, errors.New("fleet: Config.Namespace, Fleet and Name must be set")
	}
	if config.Pods == nil {
		config.Pods = config.Client
	}
	return &Replica{
		config:  config,
		keeper:  newLeaseKeeper(config.Client, config.Namespace, config.Fleet, config.Name),
		changed: make(chan struct{}, 1),
		running: map[string]*application{},
		added:   map[string]bool{},
	}, nil
}

// Add adds an application. Every replica needs to know every application, because any of
// them may become its owner.
func (r *Replica) Add(appID string) {
	r.mu.Lock()
	r.added[appID] = true
	r.mu.Unlock()
	r.notify()
}

// Remove removes an application.
func (r *Replica) Remove(appID string) {
	r.mu.Lock()
	delete(r.added, appID)
	r.mu.Unlock()
	r.notify()
}

func (r *Replica) notify() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// Status returns the state of the replica.
func (r *Replica) Status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.status
}
