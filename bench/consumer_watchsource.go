// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/executorpods/watchsource"
)

// rarely is one change in so many.
const rarely = 100

func startWatchsource(ctx context.Context, s env) (any, error) {
	return runWatchsource(ctx, s, watchsource.NewStore(s.storeOptions...), 0)
}

func startDecodingWatchsource(ctx context.Context, s env) (any, error) {
	return runWatchsource(ctx, s, watchsource.NewStore(s.storeOptions...), 1)
}

func startRarelyDecodingWatchsource(ctx context.Context, s env) (any, error) {
	return runWatchsource(ctx, s, watchsource.NewStore(s.storeOptions...), rarely)
}

func startPodlessWatchsource(ctx context.Context, s env) (any, error) {
	podless := append(slices.Clone(s.storeOptions), watchsource.WithoutPods())
	return runWatchsource(ctx, s, watchsource.NewStore(podless...), 0)
}

// runWatchsource shows the recorder the batches of the store, as soon as there is one: nothing
// shows more changes, or shows them sooner. It decodes the pod of one change in decodeEvery, and
// none if that is 0.
func runWatchsource(ctx context.Context, s env, store *watchsource.Store, decodeEvery int) (any, error) {
	if err := startSource(ctx, s, store); err != nil {
		return nil, err
	}
	shown := make(chan struct{})
	show := sync.OnceFunc(func() { close(shown) })
	go func() {
		defer show()
		changes := 0
		for batch := range store.Batches(ctx, 0) {
			for _, change := range batch.Changes {
				changes++
				if err := seeChange(s.recorder, change, decodeEvery > 0 && changes%decodeEvery == 0); err != nil {
					s.recorder.fail(err)
					return
				}
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

// seeChange shows the recorder an executor, or the pod of it.
func seeChange(a *recorder, change watchsource.Change, decode bool) error {
	if !decode {
		a.see(change.After.Name, change.After.ResourceVersion)
		return nil
	}
	pod, err := change.After.Pod()
	if err != nil {
		return fmt.Errorf("decode the pod of %s: %w", change.After.Name, err)
	}
	a.decoded.Add(1)
	a.see(pod.Name, pod.ResourceVersion)
	return nil
}

// startSource returns once the store has all pods.
func startSource(ctx context.Context, s env, store watchsource.SnapshotsStore, opts ...watchsource.Option) error {
	source := watchsource.NewWatchSnapshotSource(store, s.client, append(opts,
		watchsource.WithNamespace(namespace),
		watchsource.WithSelector(func(string) labels.Selector { return s.selector }),
		watchsource.WithStartTimeout(5*time.Minute),
	)...)
	if err := source.Start(appID); err != nil {
		return err
	}
	context.AfterFunc(ctx, source.Stop)
	return nil
}
