// SPDX-License-Identifier: Apache-2.0

package watchtest_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/executorpods/watchsource/watchtest"
)

func TestRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := watchtest.NewServer()
		pods := srv.Client().CoreV1().Pods("default")
		start := time.Now()
		if _, err := pods.Create(t.Context(), executor("a"), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		opts := metav1.ListOptions{LabelSelector: "app=one", Limit: 5, ResourceVersion: "0"}
		if _, err := pods.List(t.Context(), opts); err != nil {
			t.Fatal(err)
		}
		openWatch(t, srv.Client(), metav1.ListOptions{ResourceVersion: "99991"})
		openWatch(t, srv.Client(), streamingList())
		openWatch(t, srv.Client(), metav1.ListOptions{}) // begins with the current state by default

		var got []string
		for _, r := range srv.Requests() {
			got = append(got, r.String())
		}
		want := []string{
			"create default/pods",
			`list default/pods resourceVersion="0"`,
			`watch pods resourceVersion="99991"`,
			`streaming list pods resourceVersion=""`,
			`watch pods resourceVersion=""`,
		}
		if !slices.Equal(got, want) {
			t.Errorf("requests:\n got %q\nwant %q", got, want)
		}
		listed := srv.Requests()[1]
		if listed.Options != opts || listed.Time.Sub(start) != time.Second || listed.Header.Get("User-Agent") == "" {
			t.Errorf("the list was %+v, want the options %+v, a second after the start, with a user agent", listed, opts)
		}
		if n := srv.Count(watchtest.Watch | watchtest.StreamingList); n != 3 {
			t.Errorf("%d watches, want 3", n)
		}
	})
}
