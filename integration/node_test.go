// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/executorpods/watchsource/integration/kubelet"
	"k8s.io/client-go/kubernetes"
)

// runKubelet pretends a node until the test ends.
func runKubelet(t *testing.T, client kubernetes.Interface, namespace string) {
	t.Helper()
	runNode(t, &kubelet.Kubelet{Client: client, Node: "node-0", Namespace: namespace, Startup: 500 * time.Millisecond})
}

func runNode(t *testing.T, node *kubelet.Kubelet) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := node.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
}
