// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/executorpods/watchsource/examples/fleet"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"
	clienttesting "k8s.io/client-go/testing"
)

var names = [...]string{"replica-0", "replica-1", "replica-2"}

// The replica that loses its connection.
const victim = len(names) - 1

// A demo is a fleet, and what happens to it.
type demo struct {
	options
	out      io.Writer
	platform *platform
	replicas []*fleet.Replica
	cut      atomic.Bool // the victim has no connection to the Leases

	// When it happened, since the start. 0 if it has not happened yet.
	wasCut, stoppedActing, takenOver time.Duration
}

func newDemo(opts options, out io.Writer) (*demo, error) {
	d := &demo{options: opts, out: out, platform: newPlatform(opts.apps)}
	leases := clienttesting.NewObjectTracker(scheme.Scheme, scheme.Codecs.UniversalDecoder())
	for i, name := range names {
		replica, err := fleet.New(fleet.Config{
			Client:    leaseClient(leases, func() bool { return i == victim && d.cut.Load() }),
			Pods:      d.platform.pods.Client(),
			Namespace: "platform",
			Fleet:     "demo",
			Name:      name,
			Act:       d.platform.handle,
		})
		if err != nil {
			return nil, err
		}
		for app := range opts.apps {
			replica.Add(appID(app))
		}
		d.replicas = append(d.replicas, replica)
	}
	return d, nil
}

// run runs the replicas until the time is over or ctx ends.
func (d *demo) run(ctx context.Context) error {
	d.introduce()
	running, stop := context.WithCancel(context.Background())
	errs := make([]error, len(d.replicas))
	var wait sync.WaitGroup
	for i, replica := range d.replicas {
		wait.Go(func() { errs[i] = replica.Run(running) })
	}
	took := d.eachSecond(ctx)
	d.conclude(took)
	d.cut.Store(false) // so that the victim can release its Lease
	stop()
	wait.Wait()
	return errors.Join(errs...)
}

// eachSecond fails an executor of each application once a second and reports the replicas. It
// returns when the time is over or ctx ends.
func (d *demo) eachSecond(ctx context.Context) (took time.Duration) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for took < d.runFor {
		d.platform.failAll()
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return took
		}
		took += time.Second
		d.observe(took)
		if d.wasCut == 0 && d.cutAfter > 0 && took >= d.cutAfter {
			d.wasCut = took
			d.cut.Store(true)
			d.event(took, "%s loses its connection to the Leases; its last renewal is up to 5 s old", names[victim])
		}
	}
	return took
}

// leaseClient returns a client for Leases that fails while isCut returns true.
func leaseClient(leases clienttesting.ObjectTracker, isCut func() bool) kubernetes.Interface {
	client := &fake.Clientset{}
	client.AddReactor("*", "*", func(clienttesting.Action) (bool, runtime.Object, error) {
		return isCut(), nil, errors.New("connection refused")
	})
	client.AddReactor("*", "*", clienttesting.ObjectReaction(leases))
	return client
}

// observe prints a row of the table, and what has changed since the last one.
func (d *demo) observe(at time.Duration) {
	all := 0
	fmt.Fprintf(d.out, "%5s", at)
	for _, replica := range d.replicas {
		n := replica.Status().Applications
		all += n
		fmt.Fprintf(d.out, "  %9d", n)
	}
	handled, waiting := d.platform.ends()
	fmt.Fprintf(d.out, "  %5d  %12d  %7d\n", all, handled, waiting)

	switch {
	case d.wasCut == 0:
	case d.stoppedActing == 0 && d.replicas[victim].Status().Applications == 0:
		d.stoppedActing = at
		d.event(at, "%s has stopped acting, 10 s after its last renewal; nobody acts for its applications now", names[victim])
	case d.stoppedActing != 0 && d.takenOver == 0 && all == d.apps:
		d.takenOver = at
		d.event(at, "the Lease of %s is dead, and the others act for all applications", names[victim])
	}
}
