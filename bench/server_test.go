// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/podtest"
)

// startReplay serves a script until the test ends.
func startReplay(t *testing.T, r *replay) kubernetes.Interface {
	t.Helper()
	return newClient(t, startReplayServer(t, r))
}

func newClient(t *testing.T, config *rest.Config) kubernetes.Interface {
	t.Helper()
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// startReplayServer returns the configuration of a client.
func startReplayServer(t *testing.T, r http.Handler) *rest.Config {
	t.Helper()
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	ctx, stop := context.WithCancel(context.Background())
	ready, ended := make(chan error, 1), make(chan error, 1)
	go func() {
		ended <- listenAndReplay(ctx, r, func(host string, authority []byte) {
			ready <- writeKubeconfig(kubeconfig, host, authority)
		})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	if err := <-ready; err != nil {
		t.Fatal(err)
	}
	config, err := loadConfig(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// client-go decodes the stream into the pods, the end of the view, the updates
// in the order of their versions, and the marker.
func TestReplayStream(t *testing.T) {
	const pods, updates = 50, 200
	for _, test := range []struct {
		name      string
		flushEach bool
		list      bool
	}{
		{name: "streaming list, flush each", flushEach: true},
		{name: "streaming list, burst"},
		{name: "list and watch", flushEach: true, list: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newReplay(newScript(pods, updates, 1), test.flushEach)
			client := startReplay(t, r).CoreV1().Pods(namespace)
			seen := map[string]*corev1.Pod{}
			options := metav1.ListOptions{AllowWatchBookmarks: true}
			if test.list {
				options.ResourceVersion = listPages(t, client.List, "", seen)
			} else {
				options.SendInitialEvents = new(true)
				options.ResourceVersionMatch = metav1.ResourceVersionMatchNotOlderThan
			}
			w, err := client.Watch(t.Context(), options)
			if err != nil {
				t.Fatal(err)
			}
			defer w.Stop()
			if !test.list {
				readView(t, w, seen)
			}
			if len(seen) != pods {
				t.Fatalf("the view has %d pods, want %d", len(seen), pods)
			}
			r.release()
			if n := readUpdates(t, w, seen); n != updates {
				t.Errorf("%d updates before the marker, want %d", n, updates)
			}
		})
	}
}

func listPages(t *testing.T, list func(context.Context, metav1.ListOptions) (*corev1.PodList, error), selector string, seen map[string]*corev1.Pod) string {
	t.Helper()
	options := metav1.ListOptions{Limit: 20, LabelSelector: selector}
	for {
		page, err := list(t.Context(), options)
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Items) > 20 {
			t.Fatalf("a page of %d pods, want at most 20", len(page.Items))
		}
		for i := range page.Items {
			seen[page.Items[i].Name] = &page.Items[i]
		}
		if options.Continue = page.Continue; options.Continue == "" {
			return page.ResourceVersion
		}
	}
}

// A client that does not accept protobuf gets the same pods and updates in JSON. Those of
// the warm-up come first, and then a marker.
func TestReplayInJSON(t *testing.T) {
	const pods, warmUp, updates = 50, 30, 200
	s := newScript(pods, warmUp+updates, 1)
	s.warmUp = warmUp
	r := newReplay(s, true)
	config := startReplayServer(t, r)
	config.ContentType, config.AcceptContentTypes = "", ""
	w, err := newClient(t, config).CoreV1().Pods(namespace).Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	seen := map[string]*corev1.Pod{}
	for i := range pods {
		pod := (<-w.ResultChan()).Object.(*corev1.Pod)
		want := podtest.Executor(i, i+1, true)
		want.TypeMeta = metav1.TypeMeta{} // client-go removes it
		if diff := cmp.Diff(want, pod); diff != "" {
			t.Fatalf("pod %d (-want +got):\n%s", i, diff)
		}
		seen[pod.Name] = pod
	}
	r.release()
	if n := readUpdates(t, w, seen); n != warmUp {
		t.Errorf("%d updates before the first marker, want %d", n, warmUp)
	}
	r.release()
	if n := readUpdates(t, w, seen); n != updates {
		t.Errorf("%d updates before the last marker, want %d", n, updates)
	}
}

func readView(t *testing.T, w watch.Interface, seen map[string]*corev1.Pod) {
	t.Helper()
	for event := range w.ResultChan() {
		pod := event.Object.(*corev1.Pod)
		switch event.Type {
		case watch.Added:
			seen[pod.Name] = pod
		case watch.Bookmark:
			if pod.Annotations[metav1.InitialEventsAnnotationKey] != "true" {
				t.Fatalf("bookmark with annotations %v", pod.Annotations)
			}
			return
		default:
			t.Fatalf("%s event in the view", event.Type)
		}
	}
	t.Fatal("the watch ended within the view")
}

func readUpdates(t *testing.T, w watch.Interface, seen map[string]*corev1.Pod) int {
	t.Helper()
	n, version := 0, ""
	for event := range w.ResultChan() {
		pod := event.Object.(*corev1.Pod)
		if pod.ResourceVersion <= version { // texts of one length
			t.Fatalf("version %s after %s", pod.ResourceVersion, version)
		}
		version = pod.ResourceVersion
		if pod.Name == markerName || pod.Name == warmUpMarkerName {
			return n
		}
		if event.Type != watch.Modified || seen[pod.Name] == nil {
			t.Fatalf("%s event of pod %s", event.Type, pod.Name)
		}
		n++
	}
	t.Fatal("the watch ended before the marker")
	return 0
}

// A watch from another place is refused, so that no consumer is measured at
// healing.
func TestReplayRefusesOtherVersions(t *testing.T) {
	client := startReplay(t, newReplay(newScript(5, 5, 1), true))
	_, err := client.CoreV1().Pods(namespace).Watch(t.Context(), metav1.ListOptions{ResourceVersion: podtest.VersionText(7)})
	if !apierrors.IsGone(err) {
		t.Errorf("watch from a version in between: %v, want 410", err)
	}
}

// A list or a watch that selects one application receives its pods, updates and marker only.
func TestReplaySelectsApplications(t *testing.T) {
	const pods, updates, apps = 40, 80, 4
	for _, test := range []struct {
		name     string
		selector string
		want     int // applications
	}{
		{name: "one application", selector: watchsource.LabelApp + "=" + nthApp(2) + "," + watchsource.LabelRole + "=executor", want: 1},
		{name: "any application", selector: watchsource.LabelApp + "," + watchsource.LabelRole + "=executor", want: apps},
		{name: "an unknown application", selector: watchsource.LabelApp + "=unknown", want: 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newReplay(newScript(pods, updates, apps), true)
			client := startReplay(t, r).CoreV1().Pods(namespace)
			w, err := client.Watch(t.Context(), metav1.ListOptions{
				LabelSelector: test.selector, AllowWatchBookmarks: true,
				SendInitialEvents: new(true), ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan,
			})
			if err != nil {
				t.Fatal(err)
			}
			defer w.Stop()
			seen := map[string]*corev1.Pod{}
			readView(t, w, seen)
			if want := pods / apps * test.want; len(seen) != want {
				t.Errorf("the view has %d pods, want %d", len(seen), want)
			}
			listed := map[string]*corev1.Pod{}
			listPages(t, client.List, test.selector, listed)
			if diff := cmp.Diff(slices.Sorted(maps.Keys(seen)), slices.Sorted(maps.Keys(listed))); diff != "" {
				t.Errorf("pods of the list (-watched +listed):\n%s", diff)
			}
			r.release()
			selector, err := labels.Parse(test.selector)
			if err != nil {
				t.Fatal(err)
			}
			n, markers := 0, 0
			for markers < test.want {
				pod := (<-w.ResultChan()).Object.(*corev1.Pod)
				if !selector.Matches(labels.Set(pod.Labels)) {
					t.Fatalf("pod %s has the labels %v, want them selected by %s", pod.Name, pod.Labels, selector)
				}
				if strings.HasPrefix(pod.Name, markerName) {
					markers++
				} else {
					n++
				}
			}
			if want := updates / apps * test.want; n != want {
				t.Errorf("%d updates before the last marker, want %d", n, want)
			}
		})
	}
}
