// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// An informer is client-go's SharedInformer, with the same selector.
type informer struct {
	cache.SharedIndexInformer
	namespace string
	traffic   *traffic
	errors    atomic.Int64 // calls of the WatchErrorHandler
	last      atomic.Value // the error of the last one
	cancel    context.CancelFunc
	running   sync.WaitGroup
}

func newInformer(t *testing.T, config *rest.Config, namespace string) *informer {
	t.Helper()
	client, traffic := newClient(t, config)
	i := &informer{namespace: namespace, traffic: traffic}
	i.SharedIndexInformer = coreinformers.NewFilteredPodInformer(client, namespace, 0, cache.Indexers{}, func(o *metav1.ListOptions) {
		o.LabelSelector = selector
	})
	err := i.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *cache.Reflector, err error) {
		i.errors.Add(1)
		i.last.Store(&err)
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	i.cancel = cancel
	i.running.Go(func() { i.RunWithContext(ctx) })
	t.Cleanup(i.stop)
	timeout, done := context.WithTimeout(ctx, limit)
	defer done()
	if !cache.WaitForCacheSync(timeout.Done(), i.HasSynced) {
		t.Fatal("the informer does not synchronise")
	}
	return i
}

func (i *informer) sees() string {
	object, found, err := i.GetStore().GetByKey(i.namespace + "/" + marker)
	if err != nil || !found {
		return ""
	}
	return object.(*corev1.Pod).ResourceVersion
}

func (i *informer) holds() map[types.UID]string {
	held := map[types.UID]string{}
	for _, object := range i.GetStore().List() {
		pod := object.(*corev1.Pod)
		held[pod.UID] = pod.ResourceVersion
	}
	return held
}

func (i *informer) count() count { return i.traffic.count(int(i.errors.Load())) }

func (i *informer) lastError() error {
	if last, ok := i.last.Load().(*error); ok {
		return *last
	}
	return nil
}

func (i *informer) stop() {
	i.cancel()
	i.running.Wait()
	i.traffic.hangUp()
}
