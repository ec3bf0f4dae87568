// SPDX-License-Identifier: Apache-2.0

package watchtest_test

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"github.com/executorpods/watchsource/watchtest"
)

// The two halves of all namespaces.
const (
	firstHalf  = "shardRange(object.metadata.namespace, '0x0000000000000000', '0x8000000000000000')"
	secondHalf = "shardRange(object.metadata.namespace, '0x8000000000000000', '0x10000000000000000')"
)

// ofShard prepares a request for pods with the parameter.
func ofShard(client kubernetes.Interface, selector string, opts metav1.ListOptions) *rest.Request {
	return client.CoreV1().RESTClient().Get().Resource("pods").
		VersionedParams(&opts, scheme.ParameterCodec).Param("shardSelector", selector)
}

// podsOfShard lists all pages.
func podsOfShard(t *testing.T, client kubernetes.Interface, selector string, opts metav1.ListOptions) (found []string, pages int) {
	t.Helper()
	for {
		var list corev1.PodList
		if err := ofShard(client, selector, opts).Do(t.Context()).Into(&list); err != nil {
			t.Fatal(err)
		}
		found = append(found, names(list.Items)...)
		pages++
		if opts.Continue = list.Continue; opts.Continue == "" {
			return found, pages
		}
	}
}

// withNamespaces creates pods in namespaces of both halves.
func withNamespaces(srv *watchtest.Server) {
	for _, namespace := range []string{"kube-system", "spark", "default", "a", "b"} {
		for _, id := range []string{"-1", "-2"} {
			pod := executor(namespace + id)
			pod.Namespace, pod.UID = namespace, types.UID(id+namespace)
			srv.Create(pod)
		}
	}
}

// A server selects by the hash of the namespace only with the option. Without it, it ignores
// the parameter, also an invalid one.
func TestShardSelector(t *testing.T) {
	inBoth(t, func(t *testing.T, client func(*watchtest.Server) kubernetes.Interface) {
		off, on := watchtest.NewServer(), watchtest.NewServer(watchtest.WithShardSelector())
		withNamespaces(off)
		withNamespaces(on)
		all := names(off.List(""))
		for _, selector := range []string{firstHalf, secondHalf, "garbage"} {
			if got, _ := podsOfShard(t, client(off), selector, metav1.ListOptions{}); !slices.Equal(got, all) {
				t.Errorf("without the option: %q selects %v, want all", selector, got)
			}
		}

		for _, limit := range []int64{0, 1, 2, 3} {
			opts := metav1.ListOptions{Limit: limit}
			first, pages := podsOfShard(t, client(on), firstHalf, opts)
			second, _ := podsOfShard(t, client(on), secondHalf, opts)
			if want := []string{"spark-1", "spark-2"}; !slices.Equal(first, want) {
				t.Errorf("limit %d: the first half has %v, want %v", limit, first, want)
			}
			if limit == 1 && pages != 2 {
				t.Errorf("limit 1: %d pages for 2 pods, want 2", pages)
			}
			if both := slices.Concat(first, second); len(both) != len(all) {
				t.Errorf("limit %d: the halves have %v, want each of %v once", limit, both, all)
			}
			both, _ := podsOfShard(t, client(on), firstHalf+" || "+secondHalf, opts)
			if !slices.Equal(both, all) {
				t.Errorf("limit %d: both halves joined have %v, want %v", limit, both, all)
			}
		}
		byUID := strings.ReplaceAll(secondHalf, "namespace", "uid")
		if got, _ := podsOfShard(t, client(on), byUID, metav1.ListOptions{}); len(got) == 0 || len(got) == len(all) {
			t.Errorf("half of the UIDs have %d of %d pods, want some", len(got), len(all))
		}
	})
}

// A streaming list and a watch bring the pods of the shard, and bookmarks.
func TestShardSelectorOfStreams(t *testing.T) {
	inBoth(t, func(t *testing.T, client func(*watchtest.Server) kubernetes.Interface) {
		srv := watchtest.NewServer(watchtest.WithShardSelector())
		withNamespaces(srv)
		opts := streamingList()
		opts.Watch = true
		w, err := ofShard(client(srv), firstHalf, opts).Watch(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer w.Stop()
		expect(t, w, "ADDED spark-1 99993", "ADDED spark-2 99994", "BOOKMARK 100000 end")
		srv.Delete("default", "default-1")
		srv.Delete("spark", "spark-1")
		expect(t, w, "DELETED spark-1 100002")

		resumed, err := ofShard(client(srv), secondHalf, metav1.ListOptions{Watch: true, ResourceVersion: "100000"}).Watch(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer resumed.Stop()
		expect(t, resumed, "DELETED default-1 100001")
	})
}

// A server with the option refuses what kube-apiserver 1.38 refuses.
func TestInvalidShardSelector(t *testing.T) {
	inBoth(t, func(t *testing.T, client func(*watchtest.Server) kubernetes.Interface) {
		srv := watchtest.NewServer(watchtest.WithShardSelector())
		for _, selector := range []string{
			"garbage",
			"shardRange(object.metadata.namespace, '0x0', '0x8000000000000000')", // fewer than 16 digits
			strings.ReplaceAll(firstHalf, "namespace", "name"),
			"shardRange(object.metadata.namespace, '0x8000000000000000', '0x8000000000000000')", // empty
			strings.ReplaceAll(secondHalf, "'0x1", "'0x2"),
			firstHalf + " && " + secondHalf,
			firstHalf + " || " + strings.ReplaceAll(secondHalf, "namespace", "uid"),
		} {
			for _, watch := range []bool{false, true} {
				err := ofShard(client(srv), selector, metav1.ListOptions{Watch: watch}).Do(t.Context()).Error()
				if !apierrors.IsBadRequest(err) {
					t.Errorf("%q, watch %v: %v, want a bad request", selector, watch, err)
				}
			}
		}
	})
}
