// SPDX-License-Identifier: Apache-2.0

// Package embedded is a Kubernetes cluster for demonstrations: the API server of
// the package watchtest, and a simulated kubelet that binds pods to nodes, pulls
// their images, runs and ends them. It does with a pod what a real cluster shows
// to somebody who watches, and nothing else.
package embedded

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/watchtest"
)

// Troubles are what befalls pods, by the executor id on their label.
type Troubles map[string]Trouble

// Trouble is what befalls one pod from outside. Zero fields do nothing.
type Trouble struct {
	PullFailsFor time.Duration // the image cannot be pulled for so long
	EvictAfter   time.Duration // after the start of the container
	DeleteAfter  time.Duration // by somebody who is not the scheduler, after the start of the container
}

// Cluster is an API server with one kubelet. Make one with New.
type Cluster struct {
	server   *watchtest.Server
	troubles Troubles
}

// New returns a cluster without pods. Nothing happens in it before Run.
func New(troubles Troubles) *Cluster {
	return &Cluster{server: watchtest.NewServer(), troubles: troubles}
}

// Client returns the client by which the scheduler reaches the cluster.
func (c *Cluster) Client() kubernetes.Interface { return c.server.Client() }

// Server returns the API server, by which a test makes things go wrong.
func (c *Cluster) Server() *watchtest.Server { return c.server }

// Run lets pods live until ctx ends, and returns when nothing runs any more. The
// kubelet learns of its pods from a watch of this library.
func (c *Cluster) Run(ctx context.Context) {
	kubelet := &kubelet{
		ctx:      ctx,
		client:   c.Client(),
		troubles: c.troubles,
		lives:    map[types.UID]*life{},
	}
	source := watchsource.NewWatchSnapshotSource(kubelet, kubelet.client,
		watchsource.WithSelector(executors),
		watchsource.WithLogger(logr.Discard())) // the scheduler's log is what people want to see
	if err := source.Run(ctx, "kubelet"); err != nil {
		panic(fmt.Sprintf("the embedded API server refuses the kubelet: %v", err))
	}
	kubelet.running.Wait()
}

// executors selects those of all applications.
func executors(string) labels.Selector {
	return labels.SelectorFromSet(labels.Set{watchsource.LabelRole: watchsource.RoleExecutor})
}
