// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/executorpods/watchsource"
)

// An empty view does not mean that nothing is left, as long as something is not
// in the view yet.
func TestDeletesAlsoWhatItHasNotSeenYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset()
		store := watchsource.NewStore()
		c := config{appID: "spark-test", executors: 1, namespace: "default", work: demoWork}
		b := clusterManager{config: c, client: client, account: newAccount(io.Discard)}.createBackend()
		b.store = store // told by this test, in the place of the source

		if _, err := b.allocator.create(t.Context()); err != nil {
			t.Fatal(err)
		}
		pod := podsOf(t, client)[0]
		pod.Status.Phase = corev1.PodRunning
		time.AfterFunc(time.Second, func() { store.UpdatePod(&pod) })
		client.PrependReactor("delete", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
			time.AfterFunc(time.Second, func() { store.DeletePod(&pod) })
			return false, nil, nil
		})

		if err := b.cleanUp(t.Context()); err != nil {
			t.Error(err)
		}
		if left := podsOf(t, client); len(left) > 0 {
			t.Errorf("%s is left", left[0].Name)
		}
	})
}
