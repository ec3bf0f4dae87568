// SPDX-License-Identifier: Apache-2.0

package application

import (
	"context"
	"maps"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/integration/kubelet"
	"github.com/executorpods/watchsource/integration/spark"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
)

// A node runs the executors as processes, and notes the ends that it writes.
type node struct {
	kubelet.Kubelet

	mu      sync.Mutex
	created map[string]string // executor ids by the name of the pod
	ends    map[string]end    // by executor id
}

// An end is an end of an executor that the node has written.
type end struct {
	exitCode        int32
	resourceVersion string
	answered        time.Time // when the API server had accepted it
}

// startNode runs a node until the test ends.
func startNode(t *testing.T, client kubernetes.Interface, installation *spark.Installation, namespace string) *node {
	t.Helper()
	entrypoint, err := filepath.Abs("executor.sh")
	if err != nil {
		t.Fatal(err)
	}
	n := &node{created: map[string]string{}, ends: map[string]end{}}
	n.Kubelet = kubelet.Kubelet{
		Client: client, Node: "node-0", Namespace: namespace, Wrote: n.wrote,
		Runtime: &kubelet.Runtime{Entrypoint: []string{"/bin/sh", entrypoint}, Environment: installation.Environment(), Dir: t.TempDir()},
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() {
		if err := n.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return n
}

func (n *node) wrote(pod *corev1.Pod) {
	now := time.Now()
	n.mu.Lock()
	defer n.mu.Unlock()
	id := pod.Labels[watchsource.LabelExecutorID]
	n.created[pod.Name] = id
	if pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded {
		n.ends[id] = end{pod.Status.ContainerStatuses[0].State.Terminated.ExitCode, pod.ResourceVersion, now}
	}
}

// written returns the ids of all executors, and their ends up to now.
func (n *node) written() (created map[string]string, ends map[string]end) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return maps.Clone(n.created), maps.Clone(n.ends)
}
