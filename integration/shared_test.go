// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/executorpods/watchsource"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// One watch serves many applications: those that have pods when it opens, those that start
// later, and those without pods. Each has what the server lists, and its reader is shown
// each end and each pod that leaves once.
func TestManyApplicationsOnOneWatch(t *testing.T) {
	client := admin(t)
	namespace := newNamespace(t, client)
	config, requests := countingRequests(server.Config())
	shared := watchsource.NewSharedWatch(newClient(t, config), watchsource.WithNamespace(namespace))
	consumers := func(name string, n int) []*consumer {
		made := make([]*consumer, n)
		for i := range made {
			app := fmt.Sprint(name, "-", i)
			made[i] = &consumer{name: app, app: app, namespace: namespace, store: watchsource.NewStore()}
			made[i].source = shared.Source(made[i].store)
		}
		return made
	}

	first := consumers("first", 300)
	createPods(t, client, first)
	most := 3
	if !server.StreamsLists() { // the gate WatchList is off: a refusal, pages of 500 of the 1,200 pods, and a watch
		most = 5
	}
	if n := startAll(t, first, requests); n > most {
		t.Errorf("%d applications started with %d requests, want at most %d", len(first), n, most)
	}
	agreeAll(t, client, first, "after Start")

	late := consumers("late", 50)
	createPods(t, client, late)
	if _, err := first[0].store.WaitForResourceVersion(t.Context(), newestVersion(t, client, namespace)); err != nil {
		t.Fatal(err)
	}
	if n := startAll(t, late, requests); n > 2 {
		t.Errorf("%d applications started late with %d requests, want at most 2", len(late), n)
	}
	agreeAll(t, client, late, "after a late Start")

	empty := consumers("empty", 50)
	if n := startAll(t, empty, requests); n != 0 {
		t.Errorf("%d applications without pods started with %d requests, want 0", len(empty), n)
	}

	all := slices.Concat(first, late, empty)
	shown := showChanges(t, all)
	changePods(t, client, slices.Concat(first, late))
	agreeAll(t, client, all, "after the changes")
	for i, counts := range shown(t, client, namespace) {
		wantEnds, wantGone := 1, 2 // one is deleted, and one goes to another application
		if i >= len(first)+len(late) {
			wantEnds, wantGone = 0, 0
		}
		if len(counts.ends) != wantEnds || len(counts.gone) != wantGone {
			t.Errorf("%s: a reader was shown %d ends and %d pods that left, want %d and %d", all[i].name, len(counts.ends), len(counts.gone), wantEnds, wantGone)
		}
	}
	if status := first[0].source.Status(); status.Relists != 0 || status.Errors != 0 {
		t.Errorf("%d relists, %d errors, want none; status %+v", status.Relists, status.Errors, status)
	}

	for _, c := range first[1:] {
		c.source.Stop()
	}
	createPods(t, client, consumers("another", 1))
	agreeAll(t, client, append(late, first[0]), "after others have stopped")
}

// startAll starts all at the same time, and returns the number of requests.
func startAll(t *testing.T, consumers []*consumer, requests *atomic.Int32) int {
	t.Helper()
	before, begin := requests.Load(), time.Now()
	var starting sync.WaitGroup
	for _, c := range consumers {
		starting.Go(func() {
			if err := c.source.Start(c.app); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
		})
		t.Cleanup(c.source.Stop)
	}
	starting.Wait()
	n := int(requests.Load() - before)
	t.Logf("%d applications started in %v with %d requests", len(consumers), time.Since(begin).Round(time.Millisecond), n)
	return n
}

// createPods creates four executors for each application.
func createPods(t *testing.T, client kubernetes.Interface, consumers []*consumer) {
	t.Helper()
	var pods []*corev1.Pod
	for _, c := range consumers {
		for id := range 4 {
			pod := executorPod(c.namespace, c.app, id)
			pod.Name = fmt.Sprint(c.app, "-", id)
			pods = append(pods, pod)
		}
	}
	create(t, client, pods...)
}

// changePods lets the executor 0 of each application fail, deletes 1, and gives 2 to
// another application.
func changePods(t *testing.T, client kubernetes.Interface, consumers []*consumer) {
	t.Helper()
	inParallel(t, len(consumers), func(i int) error {
		c, next := consumers[i], consumers[(i+1)%len(consumers)]
		pods := client.CoreV1().Pods(c.namespace)
		failed := []byte(`{"status":{"phase":"Failed"}}`)
		if _, err := pods.Patch(t.Context(), c.app+"-0", types.StrategicMergePatchType, failed, metav1.PatchOptions{}, "status"); err != nil {
			return err
		}
		if err := pods.Delete(t.Context(), c.app+"-1", byForce); err != nil {
			return err
		}
		relabel := fmt.Appendf(nil, `{"metadata":{"labels":{%q:%q}}}`, watchsource.LabelApp, next.app)
		_, err := pods.Patch(t.Context(), c.app+"-2", types.StrategicMergePatchType, relabel, metav1.PatchOptions{})
		return err
	})
}

// showChanges starts a reader for each consumer. The function that it returns ends the
// readers once they have been shown everything, and returns what they were shown.
func showChanges(t *testing.T, consumers []*consumer) func(*testing.T, kubernetes.Interface, string) []readerCounts {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	results := make([]readerCounts, len(consumers))
	var reading sync.WaitGroup
	const last = 99 // the executor that ends the reading
	for i, c := range consumers {
		reading.Go(func() { results[i] = c.count(ctx, 0, fmt.Sprint(c.app, "-", last)) })
	}
	return func(t *testing.T, client kubernetes.Interface, namespace string) []readerCounts {
		t.Helper()
		pods := make([]*corev1.Pod, len(consumers))
		for i, c := range consumers {
			pods[i] = executorPod(namespace, c.app, last)
			pods[i].Name = fmt.Sprint(c.app, "-", last)
		}
		create(t, client, pods...)
		reading.Wait()
		return results
	}
}

func agreeAll(t *testing.T, client kubernetes.Interface, consumers []*consumer, when string) {
	t.Helper()
	for _, c := range consumers {
		c.mustAgree(t, client, when)
	}
}

func newestVersion(t *testing.T, client kubernetes.Interface, namespace string) string {
	t.Helper()
	list, err := client.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	return list.ResourceVersion
}

func countingRequests(config *rest.Config) (*rest.Config, *atomic.Int32) {
	requests := new(atomic.Int32)
	return altered(config, func(next http.RoundTripper, request *http.Request) (*http.Response, error) {
		requests.Add(1)
		return next.RoundTrip(request)
	}), requests
}
