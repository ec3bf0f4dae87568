// SPDX-License-Identifier: Apache-2.0

package command

import (
	"cmp"
	"fmt"
	"time"

	"github.com/executorpods/watchsource/kubectl/demo"
	"k8s.io/client-go/kubernetes"
)

// A target is the cluster, and where in it to look.
type target struct {
	client       kubernetes.Interface
	namespace    string        // "" for all namespaces
	startTimeout time.Duration // 0 for the default
	stop         func()
}

// connect returns the target that the flags name.
func (o *options) connect() (target, error) {
	if o.demo {
		client, stop := demo.Start()
		return target{client: client, namespace: o.demoNamespace(), stop: stop}, nil
	}
	restConfig, err := o.restConfig()
	if err != nil {
		return target{}, err
	}
	namespace, err := o.namespace()
	if err != nil {
		return target{}, err
	}
	// As the timeout of the client it would end each watch.
	startTimeout := restConfig.Timeout
	restConfig.Timeout = 0
	client, err := kubernetes.NewForConfig(restConfig)
	if err != nil {
		return target{}, err
	}
	return target{client: client, namespace: namespace, startTimeout: startTimeout, stop: func() {}}, nil
}

// demoNamespace returns the namespace of the demonstration in which to look, "" for all.
func (o *options) demoNamespace() string {
	if o.allNamespaces {
		return ""
	}
	return cmp.Or(*o.config.Namespace, demo.Namespace)
}

// namespace returns the namespace that the flags or the kubeconfig name, "" for all.
func (o *options) namespace() (string, error) {
	if o.allNamespaces {
		return "", nil
	}
	namespace, _, err := o.config.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return "", fmt.Errorf("read the namespace of the kubeconfig: %w", err)
	}
	return namespace, nil
}
