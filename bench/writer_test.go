// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/executorpods/watchsource/watchtest"
)

// In virtual time, against an API server in memory: the updates keep their
// rate, every one of them changes its pod, and a consumer that watches
// meanwhile sees them all, and then the marker.
func TestWriter(t *testing.T) {
	for _, name := range []string{"watch", "watchsource"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testWriter(t, name) })
		})
	}
}

func testWriter(t *testing.T, name string) {
	const pods, updates, interval = 20, 60, 10 * time.Millisecond
	client := watchtest.NewServer().Client()
	w := &writer{client: client, pods: pods, apps: 1}
	if err := w.createPods(t.Context()); err != nil {
		t.Fatal(err)
	}
	c, err := consumerNamed(name)
	if err != nil {
		t.Fatal(err)
	}
	crowd := newRecorder(true, 1)
	ctx, stop := context.WithCancel(t.Context())
	defer synctest.Wait() // until all is gone
	defer stop()
	if _, err := c.start(ctx, env{client: client, recorder: crowd, selector: podSelector}); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	writes, err := w.churn(t.Context(), updates, interval)
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took != updates*interval {
		t.Errorf("%d updates took %v, want %v", updates, took, updates*interval)
	}
	versions := map[string]bool{}
	for _, w := range writes {
		versions[w.version] = true
	}
	if len(versions) != updates {
		t.Errorf("%d versions of %d updates: some changed nothing", len(versions), updates)
	}
	if err := w.createMarkers(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-crowd.ended
	if _, err := delaysOf(writes, crowd.samples); err != nil {
		t.Error(err)
	}
	if err := w.removeMarkers(t.Context()); err != nil {
		t.Fatal(err)
	}
	left, err := client.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(left.Items) != pods {
		t.Errorf("%d pods are left, want %d", len(left.Items), pods)
	}
}
