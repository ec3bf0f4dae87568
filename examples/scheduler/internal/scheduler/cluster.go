// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"cmp"
	"fmt"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/executorpods/watchsource"
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
	return embeddedCluster(cfg, watchtest.NewServer(), demoLifecycle), nil
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

// embeddedCluster starts a cluster in this process: the API server of watchtest with its
// kubelet. lifecycle says what happens to a pod; nil: what its annotations say.
func embeddedCluster(cfg config, server *watchtest.Server, lifecycle func(*corev1.Pod) watchtest.Lifecycle) *cluster {
	return &cluster{
		name:      "an embedded cluster",
		client:    server.Client(),
		namespace: cmp.Or(cfg.namespace, "default"),
		close:     server.StartKubelet(lifecycle),
	}
}

// demoLifecycle adds external faults to what the annotations of a pod say. On a real cluster,
// use "kubectl delete pod".
func demoLifecycle(pod *corev1.Pod) watchtest.Lifecycle {
	lifecycle := watchtest.LifecycleOf(pod)
	switch pod.Labels[watchsource.LabelExecutorID] {
	case "1":
		lifecycle.EvictAfter = 5400 * time.Millisecond
	case "5":
		lifecycle.DeleteAfter = 3700 * time.Millisecond
	case "7":
		lifecycle.PullFailsFor = 1500 * time.Millisecond
	}
	return lifecycle
}
