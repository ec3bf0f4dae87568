// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/sleep"
	"github.com/executorpods/watchsource/watchtest"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A cluster holds Leases and pods, and the replicas of a fleet. It checks every call of Act.
type cluster struct {
	// Fixed after newCluster.
	t      *testing.T
	leases *leaseServer
	pods   *watchtest.Server
	apps   []string
	// namespaceOf is the one of the replicas. If it is nil, all pods are in "default", with the
	// bucket label.
	namespaceOf func(app string) string

	// Guarded by mu.
	mu    sync.Mutex
	takes map[string]time.Duration // how long a call of Act takes, by replica
	obeys bool                     // a call of Act returns when its context ends
	busy  map[string]string        // the replica that is in a call of Act, by application
	last  map[string]call          // the last call, by application
	ended map[string]bool          // the pods of which an end was handled
}

// A call is a call of Act.
type call struct {
	replica  string
	at       time.Time
	returned time.Time // zero while it is in progress
}

// A process is a running replica.
type process struct {
	*Replica
	name    string
	network network // to the Leases
	stop    func()  // releases the Lease and waits
}

// newCluster returns a cluster with one running executor for each application.
func newCluster(t *testing.T, apps int) *cluster {
	return newDividedCluster(t, apps, watchtest.NewServer(), nil)
}

// newDividedCluster is newCluster for replicas that divide the applications by namespace.
func newDividedCluster(t *testing.T, apps int, pods *watchtest.Server, namespaceOf func(app string) string) *cluster {
	c := &cluster{
		t:           t,
		leases:      newLeaseServer(),
		pods:        pods,
		namespaceOf: namespaceOf,
		takes:       map[string]time.Duration{},
		busy:        map[string]string{},
		last:        map[string]call{},
		ended:       map[string]bool{},
	}
	for i := range apps {
		app := fmt.Sprint("app-", i)
		c.apps = append(c.apps, app)
		c.createPod(app, 0)
	}
	return c
}

// start starts a replica that knows all applications.
func (c *cluster) start(name string) *process {
	c.t.Helper()
	p := &process{name: name}
	replica, err := New(Config{
		Client:      c.leases.client(&p.network),
		Pods:        c.pods.Client(),
		Namespace:   "platform",
		Fleet:       "test",
		Name:        name,
		NamespaceOf: c.namespaceOf,
		Act:         func(ctx context.Context, app string, batch watchsource.Batch) { c.act(ctx, p, app, batch) },
	})
	if err != nil {
		c.t.Fatal(err)
	}
	p.Replica = replica
	for _, app := range c.apps {
		p.Add(app)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := p.Run(ctx); err != nil && !p.network.partitioned.Load() {
			c.t.Errorf("%s: Run returned %v, want no error", name, err)
		}
	}()
	p.stop = sync.OnceFunc(func() {
		cancel()
		<-done
	})
	c.t.Cleanup(p.stop)
	return p
}

// act checks that only one replica acts for an application at a time. A replica that acts
// again after another one must begin with a complete view.
func (c *cluster) act(ctx context.Context, p *process, app string, batch watchsource.Batch) {
	c.mu.Lock()
	if other := c.busy[app]; other != "" {
		c.t.Errorf("%s acts for %s while %s does, want one at a time", p.name, app, other)
	}
	if last := c.last[app]; !batch.Full && last.replica != p.name {
		c.t.Errorf("%s still acts for %s after %s has begun to, want not", p.name, app, last.replica)
	}
	c.busy[app], c.last[app] = p.name, call{replica: p.name, at: time.Now()}
	for _, change := range batch.Changes {
		if change.After != nil && change.After.State.Ended() {
			c.ended[change.After.Name] = true
		}
	}
	if !c.obeys {
		ctx = context.WithoutCancel(ctx)
	}
	takes := c.takes[p.name]
	c.mu.Unlock()
	sleep.For(ctx, takes)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy[app] = ""
	c.last[app] = call{replica: p.name, at: c.last[app].at, returned: time.Now()}
}

// setDuration sets how long a call of Act takes in a replica.
func (c *cluster) setDuration(p *process, d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.takes[p.name] = d
}

func podName(app string, executor int) string { return fmt.Sprintf("%s-exec-%d", app, executor) }

// namespace returns the namespace of an application.
func (c *cluster) namespace(app string) string {
	if c.namespaceOf == nil {
		return "default"
	}
	return c.namespaceOf(app)
}

func (c *cluster) createPod(app string, executor int) {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name:      podName(app, executor),
			Namespace: c.namespace(app),
			Labels: map[string]string{
				watchsource.LabelRole:       watchsource.RoleExecutor,
				watchsource.LabelApp:        app,
				watchsource.LabelExecutorID: strconv.Itoa(executor),
			},
		},
		Status: corev1.PodStatus{Phase: corev1.PodRunning},
	}
	if c.namespaceOf == nil {
		pod.Labels[BucketLabel] = strconv.Itoa(BucketOf(app))
	}
	c.pods.Create(pod)
}

// failPods makes an executor of each application fail, and creates the next one.
func (c *cluster) failPods(executor int) {
	for _, app := range c.apps {
		c.pods.Update(c.namespace(app), podName(app, executor), func(pod *corev1.Pod) { pod.Status.Phase = corev1.PodFailed })
		c.createPod(app, executor+1)
	}
}

// sleep lets time pass. Once a second an executor of each application fails.
func (c *cluster) sleep(from int, d time.Duration) (next int) {
	for ; d > 0; d -= time.Second {
		time.Sleep(time.Second)
		synctest.Wait()
		c.failPods(from)
		from++
	}
	synctest.Wait()
	return from
}

// requireEnds checks that the ends of the executors below this one were all handled.
func (c *cluster) requireEnds(below int) {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	missing := 0
	for _, app := range c.apps {
		for executor := range below {
			if !c.ended[podName(app, executor)] {
				missing++
			}
		}
	}
	if missing > 0 {
		c.t.Errorf("%d ends were not handled, want all of %d", missing, len(c.apps)*below)
	}
}

// owners returns the bucket owners as the replicas see it, and fails if a bucket has none or
// more than one.
func (c *cluster) owners(processes ...*process) [Buckets]string {
	c.t.Helper()
	synctest.Wait()
	var owners [Buckets]string
	for _, p := range processes {
		for _, bucket := range p.Status().Buckets {
			if owners[bucket] != "" {
				c.t.Errorf("bucket %d has the owners %s and %s, want one", bucket, owners[bucket], p.name)
			}
			owners[bucket] = p.name
		}
	}
	for bucket, owner := range owners {
		if owner == "" {
			c.t.Errorf("bucket %d has no owner, want one", bucket)
		}
	}
	return owners
}

// lastCalls returns the last call of Act for each application.
func (c *cluster) lastCalls() map[string]call {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.last)
}

// requireMoves checks which buckets have moved: all those of from, which is not an owner any
// more, and no other; or all those that to owns now, and no other.
func requireMoves(t *testing.T, before, after [Buckets]string, moves func(before, after string) bool) {
	t.Helper()
	var wrong []int
	for bucket := range before {
		if (before[bucket] != after[bucket]) != moves(before[bucket], after[bucket]) {
			wrong = append(wrong, bucket)
		}
	}
	if len(wrong) > 0 {
		t.Errorf("buckets %v: owners %v, then %v", wrong, before, after)
	}
	if slices.Equal(before[:], after[:]) {
		t.Error("no bucket has moved")
	}
}
