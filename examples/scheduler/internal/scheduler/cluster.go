// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/executorpods/watchsource/internal/embedded"
	"github.com/executorpods/watchsource/watchtest"
)

// cluster is the cluster that the executors run on. The scheduler needs only its client and
// its namespace.
type cluster struct {
	name      string
	client    kubernetes.Interface
	namespace string
	close     func()
}

// connect returns the cluster that the user has selected.
func connect(cfg config) (*cluster, error) {
	inPod := os.Getenv("KUBERNETES_SERVICE_HOST") != ""
	if cfg.kubeconfig != "" || cfg.inCluster || inPod {
		return realCluster(cfg)
	}
	return embeddedCluster(cfg, watchtest.NewServer(), demoTroubles()), nil
}

func realCluster(cfg config) (*cluster, error) {
	restConfig, namespace, err := credentials(cfg.kubeconfig)
	if err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(restConfig)
	if err != nil {
		return nil, err
	}
	return &cluster{
		name:      "the cluster at " + restConfig.Host,
		client:    client,
		namespace: cmp.Or(cfg.namespace, namespace),
		close:     func() {},
	}, nil
}

// credentials returns the client configuration and the namespace from the kubeconfig or,
// without one, from the pod's service account.
func credentials(kubeconfig string) (*rest.Config, string, error) {
	if kubeconfig == "" {
		if _, err := rest.InClusterConfig(); err != nil {
			return nil, "", fmt.Errorf("use the pod's service account: %w", err)
		}
	}
	// With an empty path, clientcmd uses the service account and its namespace.
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(&clientcmd.ClientConfigLoadingRules{ExplicitPath: kubeconfig}, nil)
	restConfig, err := loader.ClientConfig()
	if err != nil {
		return nil, "", fmt.Errorf("read the kubeconfig: %w", err)
	}
	namespace, _, err := loader.Namespace()
	return restConfig, namespace, err
}

// embeddedCluster starts a cluster in this process. Its close function waits until all
// goroutines of the cluster have ended.
func embeddedCluster(cfg config, server *watchtest.Server, troubles embedded.Troubles) *cluster {
	simulated := embedded.New(server, troubles)
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { simulated.Run(ctx) })
	return &cluster{
		name:      "an embedded cluster",
		client:    simulated.Client(),
		namespace: cmp.Or(cfg.namespace, "default"),
		close: func() {
			stop()
			running.Wait()
		},
	}
}

// demoTroubles returns the external faults for executors of the embedded cluster. On a real
// cluster, use "kubectl delete pod".
func demoTroubles() embedded.Troubles {
	return embedded.Troubles{
		"1": {EvictAfter: 5400 * time.Millisecond},
		"5": {DeleteAfter: 3700 * time.Millisecond},
		"7": {PullFailsFor: 1500 * time.Millisecond},
	}
}
