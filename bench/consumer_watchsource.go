// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"sync"
	"time"

	"github.com/executorpods/watchsource"
)

func startWatchsource(ctx context.Context, s env) (any, error) {
	return runWatchsource(ctx, s, watchsource.NewStore())
}

func startTrimmedWatchsource(ctx context.Context, s env) (any, error) {
	return runWatchsource(ctx, s, watchsource.NewStore(), watchsource.WithTrimmedPods())
}

func startPodlessWatchsource(ctx context.Context, s env) (any, error) {
	return runWatchsource(ctx, s, watchsource.NewStore(watchsource.WithoutPods()), watchsource.WithTrimmedPods())
}

// runWatchsource shows the recorder the batches of the store, as soon as there
// is one: nothing shows more changes, or shows them sooner.
func runWatchsource(ctx context.Context, s env, store *watchsource.Store, opts ...watchsource.Option) (any, error) {
	source := watchsource.NewWatchSnapshotSource(store, s.client, append(opts,
		watchsource.WithNamespace(namespace),
		watchsource.WithStartTimeout(5*time.Minute),
	)...)
	if err := source.Start(appID); err != nil {
		return nil, err
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
	select {
	case <-shown:
		return store, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
