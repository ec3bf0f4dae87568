// SPDX-License-Identifier: Apache-2.0

package podwatch

import (
	"context"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/executorpods/watchsource/internal/podclient"
	"github.com/executorpods/watchsource/internal/request"
	"github.com/executorpods/watchsource/internal/sleep"
)

const (
	// bookmarkTimeout is the time after which a watch for a bookmark is asked to end, in seconds.
	// kube-apiserver sends a bookmark two seconds before the end of a watch. It sends none if a watch
	// is asked to end after two seconds or less.
	bookmarkTimeout = 3
	// bookmarkLimit is how long such a watch may take with the connection.
	bookmarkLimit = 10 * time.Second
	// versionAfter is when the server's version is asked for, after the watch was opened and before
	// its bookmark. kube-apiserver sends a bookmark only if its cache of pods has advanced since the
	// watch was opened. A list of the most recent state lets the cache advance to the version of etcd,
	// which all writes of the cluster move (ConsistentListFromCache, since 1.31).
	versionAfter = 500 * time.Millisecond
)

// Bookmark opens a watch from a version and waits for its first event. It returns the version of
// that event if it is a bookmark: then no selected pod has changed in between. It returns "" if it is
// the change of a pod. Any goroutine may call it.
func Bookmark(ctx context.Context, client podclient.Client, selector, from string) (version string, err error) {
	return request.Do(ctx, bookmarkLimit, func(ctx context.Context) (string, error) {
		events, err := client.Watch(ctx, metav1.ListOptions{
			LabelSelector: selector, ResourceVersion: from, AllowWatchBookmarks: true, TimeoutSeconds: new(int64(bookmarkTimeout)),
		})
		if err != nil {
			return "", err
		}
		defer events.Close()
		defer advance(ctx, client, selector)()
		event, err := events.Next()
		if err != nil {
			return "", err
		}
		pod, err := podclient.PodOf(event)
		if err != nil || event.Type != watch.Bookmark {
			return "", err
		}
		return pod.ResourceVersion, nil
	})
}

// advance lets the cache of the server advance after a moment, until the function that it returns is
// called. A client that may not list does without.
func advance(ctx context.Context, client podclient.Client, selector string) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() {
		if sleep.For(ctx, versionAfter) {
			_, _ = client.Version(ctx, selector)
		}
	})
	return func() {
		cancel()
		running.Wait()
	}
}
