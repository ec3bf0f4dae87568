// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"
)

// podMap is what a loop over a watch keeps.
type podMap map[types.NamespacedName]*corev1.Pod

func nameOf(pod *corev1.Pod) types.NamespacedName {
	return types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}
}

// apply returns whether the event is the end of a streaming list.
func (m podMap) apply(event watch.Event, a *recorder) (complete bool, err error) {
	pod, ok := event.Object.(*corev1.Pod)
	if !ok {
		return false, fmt.Errorf("%s event with a %T", event.Type, event.Object)
	}
	switch event.Type {
	case watch.Added, watch.Modified:
		m[nameOf(pod)] = pod
		a.see(pod.Name, pod.ResourceVersion)
	case watch.Deleted:
		delete(m, nameOf(pod))
		a.see(pod.Name, pod.ResourceVersion)
	case watch.Bookmark:
		return pod.Annotations[metav1.InitialEventsAnnotationKey] == "true", nil
	}
	return false, nil
}

// follow applies events until the watch ends.
func (m podMap) follow(w watch.Interface, a *recorder) {
	for event := range w.ResultChan() {
		if _, err := m.apply(event, a); err != nil {
			fmt.Fprintln(os.Stderr, "watch:", err)
			return
		}
	}
}

// startWatchLoop is the least that can be done with client-go: a streaming
// list, and a map.
func startWatchLoop(ctx context.Context, s env) (any, error) {
	w, err := s.client.CoreV1().Pods(namespace).Watch(ctx, metav1.ListOptions{
		LabelSelector:        s.selector.String(),
		AllowWatchBookmarks:  true,
		SendInitialEvents:    new(true),
		ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan,
	})
	if err != nil {
		return nil, err
	}
	pods := podMap{}
	for event := range w.ResultChan() {
		complete, err := pods.apply(event, s.recorder)
		if err != nil {
			return nil, err
		}
		if complete {
			go pods.follow(w, s.recorder)
			return pods, nil
		}
	}
	return nil, fmt.Errorf("the watch ended before the view was complete")
}

// startRetryWatcher lists first, in one piece, because a RetryWatcher starts
// from a resource version.
func startRetryWatcher(ctx context.Context, s env) (any, error) {
	client := s.client.CoreV1().Pods(namespace)
	list, err := client.List(ctx, metav1.ListOptions{LabelSelector: s.selector.String()})
	if err != nil {
		return nil, err
	}
	pods := podMap{}
	for i := range list.Items {
		pod := &list.Items[i]
		pods[nameOf(pod)] = pod
		s.recorder.see(pod.Name, pod.ResourceVersion)
	}
	w, err := watchtools.NewRetryWatcherWithContext(ctx, list.ResourceVersion, &cache.ListWatch{
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			options.LabelSelector = s.selector.String()
			return client.Watch(ctx, options)
		},
	})
	if err != nil {
		return nil, err
	}
	go pods.follow(w, s.recorder)
	return pods, nil
}
