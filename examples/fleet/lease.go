// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"fmt"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/retry"
	"k8s.io/component-helpers/apimachinery/lease"
	"k8s.io/utils/clock"
)

// A leaseKeeper renews the Lease of a replica and writes its claims into it.
type leaseKeeper struct {
	// Fixed after newLeaseKeeper.
	client     kubernetes.Interface
	namespace  string
	fleet      string
	name       string
	controller lease.Controller
	changed    chan struct{} // the Lease must be written at once

	// Guarded by mu.
	mu       sync.Mutex
	claims   bucketSet
	released bool
}

func newLeaseKeeper(client kubernetes.Interface, namespace, fleet, name string) *leaseKeeper {
	k := &leaseKeeper{client: client, namespace: namespace, fleet: fleet, name: name, changed: make(chan struct{}, 1)}
	k.controller = lease.NewController(clock.RealClock{}, client, name, int32(leaseDuration/time.Second), nil, renewInterval, name, namespace, k.fill)
	return k
}

// fill completes the Lease before each write.
func (k *leaseKeeper) fill(lease *coordinationv1.Lease) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	metav1.SetMetaDataLabel(&lease.ObjectMeta, fleetLabel, k.fleet)
	metav1.SetMetaDataAnnotation(&lease.ObjectMeta, claimsAnnotation, formatClaims(k.claims))
	holder := k.name
	if k.released {
		holder = ""
	}
	lease.Spec.HolderIdentity = &holder
	return nil
}

// run renews the Lease until ctx is done. The controller writes at once when it starts, so
// run starts it again when the claims have changed.
func (k *leaseKeeper) run(ctx context.Context) {
	for ctx.Err() == nil {
		renewing, cancel := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			k.controller.Run(renewing)
		}()
		select {
		case <-k.changed:
		case <-ctx.Done():
		}
		cancel()
		<-done
	}
}

// claim writes these claims instead of the last ones.
func (k *leaseKeeper) claim(claims bucketSet) {
	k.mu.Lock()
	k.claims = claims
	k.mu.Unlock()
	select {
	case k.changed <- struct{}{}:
	default:
	}
}

// release gives up the Lease and all claims. Nothing may renew the Lease any more.
func (k *leaseKeeper) release(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, leaseDuration)
	defer cancel()
	k.mu.Lock()
	k.claims, k.released = bucketSet{}, true
	k.mu.Unlock()
	leases := k.client.CoordinationV1().Leases(k.namespace)
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		lease, err := leases.Get(ctx, k.name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if err := k.fill(lease); err != nil {
			return err
		}
		lease.Spec.RenewTime = new(metav1.NowMicro())
		_, err = leases.Update(ctx, lease, metav1.UpdateOptions{})
		return err
	})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("fleet: release the lease of %s, which expires in %s: %w", k.name, leaseDuration, err)
	}
	return nil
}

// list returns all Leases of the fleet. It reads from etcd and not from a cache: a claim
// that was written before the list is in it.
func (k *leaseKeeper) list(ctx context.Context) ([]coordinationv1.Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	list, err := k.client.CoordinationV1().Leases(k.namespace).List(ctx, metav1.ListOptions{LabelSelector: fleetLabel + "=" + k.fleet})
	if err != nil {
		return nil, fmt.Errorf("fleet: list the leases of %s: %w", k.fleet, err)
	}
	return list.Items, nil
}

// remove deletes the Lease of a replica that left, unless it has changed since. A failure
// is not an error: this replica or another one tries again.
func (k *leaseKeeper) remove(ctx context.Context, lease *coordinationv1.Lease) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	_ = k.client.CoordinationV1().Leases(k.namespace).Delete(ctx, lease.Name, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{ResourceVersion: &lease.ResourceVersion},
	})
}
