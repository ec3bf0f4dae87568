// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/cache"
	runtimecache "sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// showing is the handler by which an informer's user sees the pods.
func showing(a *recorder) cache.ResourceEventHandler {
	see := func(object any) {
		if pod, ok := object.(*corev1.Pod); ok {
			a.see(pod.Name, pod.ResourceVersion)
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    see,
		UpdateFunc: func(_, after any) { see(after) },
		DeleteFunc: see,
	}
}

func startInformer(ctx context.Context, s env) (any, error) {
	return runInformer(ctx, s, nil)
}

func startStrippedInformer(ctx context.Context, s env) (any, error) {
	return runInformer(ctx, s, func(object any) (any, error) {
		if accessor, err := meta.Accessor(object); err == nil {
			accessor.SetManagedFields(nil)
		}
		return object, nil
	})
}

func runInformer(ctx context.Context, s env, transform cache.TransformFunc) (any, error) {
	factory := informers.NewSharedInformerFactoryWithOptions(s.client, 0,
		informers.WithNamespace(namespace),
		informers.WithTweakListOptions(func(options *metav1.ListOptions) { options.LabelSelector = s.selector.String() }),
		informers.WithTransform(transform),
	)
	informer := factory.Core().V1().Pods().Informer()
	shown, err := informer.AddEventHandler(showing(s.recorder))
	if err != nil {
		return nil, err
	}
	factory.StartWithContext(ctx)
	if !cache.WaitFor(ctx, "", shown.HasSyncedChecker()) {
		return nil, context.Cause(ctx)
	}
	return informer, nil
}

// startRuntimeCache starts the cache under a controller-runtime manager. It gets a REST
// mapper for pods, so that it need not ask the server for all kinds.
func startRuntimeCache(ctx context.Context, s env) (any, error) {
	mapper := meta.NewDefaultRESTMapper(nil)
	mapper.Add(corev1.SchemeGroupVersion.WithKind("Pod"), meta.RESTScopeNamespace)
	pods, err := runtimecache.New(s.config, runtimecache.Options{
		Scheme: scheme.Scheme,
		Mapper: mapper,
		ByObject: map[client.Object]runtimecache.ByObject{
			&corev1.Pod{}: {Label: s.selector, Namespaces: map[string]runtimecache.Config{namespace: {}}},
		},
	})
	if err != nil {
		return nil, err
	}
	go func() {
		if err := pods.Start(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "controller-runtime:", err)
		}
	}()
	informer, err := pods.GetInformer(ctx, &corev1.Pod{})
	if err != nil {
		return nil, err
	}
	shown, err := informer.AddEventHandler(showing(s.recorder))
	if err != nil {
		return nil, err
	}
	if !cache.WaitFor(ctx, "", shown.HasSyncedChecker()) {
		return nil, context.Cause(ctx)
	}
	return pods, nil
}
