// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	"github.com/executorpods/watchsource"
)

// The consumers that the consumers of many applications are compared with.
const (
	allFramesName    = "apps-floor"
	nothingName      = "apps-nothing"
	oneSourceName    = "apps-one-source"
	storeByName      = "apps-store-by"
	indexName        = "apps-informer-index"
	sharedName       = "apps-shared"
	sharedUnusedName = "apps-shared-unused"
	blockedName      = "apps-shared-blocked"
	sourcesName      = "apps-sources"
	handlersName     = "apps-informer-handlers"
	informersName    = "apps-informers"
)

// mostWatches is the most applications for which each consumer is compared. For more of them only
// those take part that have one watch and one handler.
const mostWatches = 1_000

// appConsumersFor returns the names of the consumers to compare on the replay server.
func appConsumersFor(apps int) []string {
	if apps > mostWatches {
		return []string{allFramesName, oneSourceName, storeByName, sharedName, indexName}
	}
	return []string{
		allFramesName, oneSourceName, storeByName, sharedName, sourcesName, indexName, handlersName, informersName, sharedUnusedName, blockedName,
	}
}

// appConsumersReal are the names of the consumers to compare on a real API server.
var appConsumersReal = []string{nothingName, oneSourceName, storeByName, sharedName, sourcesName, indexName, informersName}

// appConsumers keep a view of each of many applications in one process.
var appConsumers = []consumer{
	{name: nothingName, title: "no watch", start: startNothing},
	{name: allFramesName, title: "the floor: frames of one stream read, nothing else", start: startAllFrames},
	{name: oneSourceName, title: "one source for all pods, applications not separated", start: startOneSource},
	{name: storeByName, title: "StoreBy, divided by application", start: startStoreBy},
	{name: sharedName, title: "SharedWatch, a source for each application", start: startSharedSources},
	{name: sourcesName, title: "a source with a watch for each application", start: startSources},
	{name: indexName, title: "one SharedInformer with a label index", start: startIndexedInformer},
	{name: handlersName, title: "one SharedInformer with a handler for each application", start: startHandlers},
	{name: informersName, title: "a SharedInformer for each application", start: startInformers},
	{name: blockedName, title: "SharedWatch, one of the stores blocks", start: startBlockedShared, blocked: true},
	{name: sharedUnusedName, title: "SharedWatch, one application started", start: startOneShared, oneApp: true},
}

// executorSelector selects the executors of all applications.
var executorSelector = labels.SelectorFromSet(labels.Set{watchsource.LabelRole: watchsource.RoleExecutor})

// startNothing watches nothing. It shows what the writes alone cost a real API server.
func startNothing(_ context.Context, s env) (any, error) {
	s.recorder.end()
	return nil, nil
}

func startAllFrames(ctx context.Context, s env) (any, error) {
	return readFrames(ctx, s, executorSelector)
}

func startOneSource(ctx context.Context, s env) (any, error) {
	s.selector = executorSelector
	return startWatchsource(ctx, s)
}

// startStoreBy divides a store by application. One reader is shown the changes of all of them, as the
// workers of an operator are.
func startStoreBy(ctx context.Context, s env) (any, error) {
	s.selector = executorSelector
	store := watchsource.NewStoreBy(func(pod metav1.Object) (string, bool) {
		app, ok := pod.GetLabels()[watchsource.LabelApp]
		return app, ok
	})
	if err := startSource(ctx, s, store); err != nil {
		return nil, err
	}
	shown := make(chan struct{})
	go func() {
		missing := s.apps // batches of the view
		for _, batch := range store.Batches(ctx, 0) {
			for _, change := range batch.Changes {
				s.recorder.see(change.After.Name, change.After.ResourceVersion)
			}
			if missing--; missing == 0 {
				close(shown)
			}
		}
	}()
	select {
	case <-shown:
		return store, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func startSharedSources(ctx context.Context, s env) (any, error) {
	return runShared(ctx, s, s.apps)
}

func startOneShared(ctx context.Context, s env) (any, error) { return runShared(ctx, s, 1) }

func runShared(ctx context.Context, s env, apps int) (any, error) {
	shared := watchsource.NewSharedWatch(s.client, sourceOptions...)
	return runSources(ctx, s, apps, shared.Source)
}

// startBlockedShared feeds a store that blocks beside the store of the first application.
func startBlockedShared(ctx context.Context, s env) (any, error) {
	shared := watchsource.NewSharedWatch(s.client, sourceOptions...)
	var once sync.Once
	return runSources(ctx, s, s.apps, func(store watchsource.SnapshotsStore) *watchsource.WatchSnapshotSource {
		once.Do(func() { store = blockingStore{store, ctx.Done()} })
		return shared.Source(store)
	})
}

// A blockingStore blocks in the first update.
type blockingStore struct {
	watchsource.SnapshotsStore
	done <-chan struct{}
}

func (s blockingStore) UpdatePod(*corev1.Pod) { <-s.done }

func startSources(ctx context.Context, s env) (any, error) {
	return runSources(ctx, s, s.apps, func(store watchsource.SnapshotsStore) *watchsource.WatchSnapshotSource {
		return watchsource.NewWatchSnapshotSource(store, s.client, sourceOptions...)
	})
}

var sourceOptions = []watchsource.Option{
	watchsource.WithNamespace(namespace), watchsource.WithStartTimeout(5 * time.Minute),
}

// runSources starts a source for each application at the same time, and shows the recorder
// the batches of their stores.
func runSources(ctx context.Context, s env, apps int, newSource func(watchsource.SnapshotsStore) *watchsource.WatchSnapshotSource) (any, error) {
	stores, failed := make([]*watchsource.Store, apps), make([]error, apps)
	var starting sync.WaitGroup
	for k := range apps {
		store := watchsource.NewStore()
		stores[k] = store
		source := newSource(store)
		starting.Go(func() {
			if failed[k] = source.Start(nthApp(k)); failed[k] != nil {
				return
			}
			context.AfterFunc(ctx, source.Stop)
			shown := make(chan struct{})
			show := sync.OnceFunc(func() { close(shown) })
			go func() {
				for batch := range store.Batches(ctx, 0) {
					for _, change := range batch.Changes {
						s.recorder.see(change.After.Name, change.After.ResourceVersion)
					}
					show() // the first batch is the view
				}
			}()
			<-shown
		})
	}
	starting.Wait()
	return stores, errors.Join(failed...)
}

// startInformers starts an informer for each application.
func startInformers(ctx context.Context, s env) (any, error) {
	synced, kept := make([]cache.DoneChecker, s.apps), make([]any, s.apps)
	for k := range s.apps {
		selector := labels.SelectorFromSet(labels.Set{watchsource.LabelApp: nthApp(k), watchsource.LabelRole: watchsource.RoleExecutor})
		factory, informer := newInformer(s, selector, nil)
		shown, err := informer.AddEventHandler(showing(s.recorder))
		if err != nil {
			return nil, err
		}
		synced[k], kept[k] = shown.HasSyncedChecker(), informer
		factory.StartWithContext(ctx)
	}
	if !cache.WaitFor(ctx, "", synced...) {
		return nil, context.Cause(ctx)
	}
	return kept, nil
}

// startHandlers starts one informer with a handler for each application that drops the
// pods of the others.
func startHandlers(ctx context.Context, s env) (any, error) {
	factory, informer := newInformer(s, executorSelector, nil)
	synced := make([]cache.DoneChecker, s.apps)
	for k := range s.apps {
		app := nthApp(k)
		shown, err := informer.AddEventHandler(cache.FilteringResourceEventHandler{
			FilterFunc: func(object any) bool {
				pod, ok := object.(*corev1.Pod)
				return ok && pod.Labels[watchsource.LabelApp] == app
			},
			Handler: showing(s.recorder),
		})
		if err != nil {
			return nil, err
		}
		synced[k] = shown.HasSyncedChecker()
	}
	factory.StartWithContext(ctx)
	if !cache.WaitFor(ctx, "", synced...) {
		return nil, context.Cause(ctx)
	}
	return informer, nil
}

// startIndexedInformer starts one informer with an index by application and one handler,
// as Go schedulers for many applications do.
func startIndexedInformer(ctx context.Context, s env) (any, error) {
	const byApp = "application"
	factory, informer := newInformer(s, executorSelector, cache.Indexers{byApp: func(object any) ([]string, error) {
		accessor, err := meta.Accessor(object)
		if err != nil {
			return nil, err
		}
		return []string{accessor.GetLabels()[watchsource.LabelApp]}, nil
	}})
	shown, err := informer.AddEventHandler(showing(s.recorder))
	if err != nil {
		return nil, err
	}
	factory.StartWithContext(ctx)
	if !cache.WaitFor(ctx, "", shown.HasSyncedChecker()) {
		return nil, context.Cause(ctx)
	}
	for k := range s.apps {
		if _, err := informer.GetIndexer().ByIndex(byApp, nthApp(k)); err != nil {
			return nil, err
		}
	}
	return informer, nil
}

func newInformer(s env, selector labels.Selector, indexers cache.Indexers) (informers.SharedInformerFactory, cache.SharedIndexInformer) {
	factory := informers.NewSharedInformerFactoryWithOptions(s.client, 0,
		informers.WithNamespace(namespace),
		informers.WithTweakListOptions(func(options *metav1.ListOptions) { options.LabelSelector = selector.String() }),
		informers.WithTransform(func(object any) (any, error) {
			if accessor, err := meta.Accessor(object); err == nil {
				accessor.SetManagedFields(nil)
			}
			return object, nil
		}),
	)
	informer := factory.Core().V1().Pods().Informer()
	if indexers != nil {
		if err := informer.AddIndexers(indexers); err != nil {
			panic(err) // the informer has not started
		}
	}
	return factory, informer
}
