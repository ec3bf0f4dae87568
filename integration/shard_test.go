// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"math/bits"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/integration/cluster"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// Two shards of 600 executors each, in two pages of a plain list.
const (
	shardCount         = 2
	namespacesPerShard = 3
	podsPerNamespace   = 200
)

// Two sources that divide the namespaces have each executor once, and each has what the server
// lists. A source receives about half of the bytes from a server that selects by shard, and all
// from a server that ignores the parameter.
func TestShards(t *testing.T) {
	for name, selects := range map[string]bool{"gate off": false, "gate on": true} {
		t.Run(name, func(t *testing.T) { testShards(t, shardCluster(t, selects), selects) })
	}
}

// shardCluster returns a server with the feature gate ShardedListAndWatch on or off. Kubernetes has
// the gate since 1.36, and it is on by default since 1.38.
func shardCluster(t *testing.T, on bool) *cluster.Cluster {
	t.Helper()
	version, err := admin(t).Discovery().ServerVersion()
	if err != nil {
		t.Fatal(err)
	}
	minor, err := strconv.Atoi(version.Minor)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case on == (minor >= 38):
		return server
	case on && minor < 36:
		t.Skipf("%s does not have the feature gate", version)
	}
	c, err := cluster.Start(t.Context(), cluster.Setup{Store: cluster.Etcd, Flags: []string{fmt.Sprint("feature-gates=ShardedListAndWatch=", on)}}, func(line string) { t.Log(line) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func testShards(t *testing.T, c *cluster.Cluster, selects bool) {
	client := newClient(t, c.Config())
	namespaces := namespacesOfShards(t, client)
	var pods []*corev1.Pod
	for i, namespace := range namespaces {
		for id := range podsPerNamespace {
			pods = append(pods, executorPod(namespace, appID, i*podsPerNamespace+id))
		}
	}
	pods = create(t, client, pods...)
	t.Run("parameter", func(t *testing.T) { testShardParameter(t, client, selects) })
	for _, test := range []struct {
		name   string
		alter  func(*rest.Config) *rest.Config
		shared bool
	}{
		{name: "own watch, streaming list"},
		{name: "own watch, plain list", alter: func(config *rest.Config) *rest.Config { return altered(config, refusingStreamedLists) }},
		{name: "own watch, JSON", alter: func(config *rest.Config) *rest.Config { return speaking(config, asJSON) }},
		{name: "shared watch, streaming list", shared: true},
		{name: "shared watch, plain list", shared: true, alter: func(config *rest.Config) *rest.Config { return altered(config, refusingStreamedLists) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			config := c.Config()
			if test.alter != nil {
				config = test.alter(config)
			}
			all := newShard(t, config, test.shared, 0, 1)
			shards := []*shard{newShard(t, config, test.shared, 0, shardCount), newShard(t, config, test.shared, 1, shardCount)}
			agreeOnShards(t, client, append(shards, all), "after Start")
			wantBytes(t, all, shards, selects, "of the list")

			changeShards(t, client, pods)
			agreeOnShards(t, client, append(shards, all), "after changes")
			wantBytes(t, all, shards, selects, "of the events")
			waitForVerifications(t, client, append(shards, all), []*corev1.Pod{pods[1], pods[len(pods)-1]})
			agreeOnShards(t, client, append(shards, all), "after verifications")
			for _, s := range append(shards, all) {
				if status := s.source.Status(); status.Errors != 0 || status.Relists != 0 {
					t.Errorf("shard %d of %d: %d errors, %d relists, want none; last error %v", s.index, s.count, status.Errors, status.Relists, status.Err)
				}
			}
		})
	}
}

// namespacesOfShards makes the same number of namespaces for each shard, in the order of shards.
func namespacesOfShards(t *testing.T, client kubernetes.Interface) []string {
	t.Helper()
	var found [shardCount][]string
	for {
		namespace := newNamespace(t, client) // with a random name
		if part := shardOf(namespace, shardCount); len(found[part]) < namespacesPerShard {
			found[part] = append(found[part], namespace)
		}
		if len(found[0])+len(found[1]) == shardCount*namespacesPerShard {
			return slices.Concat(found[0], found[1])
		}
	}
}

// shardOf is the documented shard of a namespace.
func shardOf(namespace string, count int) int {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(namespace))
	part, _ := bits.Mul64(hash.Sum64(), uint64(count))
	return int(part)
}

// testShardParameter looks at what the server does with the parameter. With the parameter in the
// request for each page, all pages but the last one are full of pods of the shard.
func testShardParameter(t *testing.T, client kubernetes.Interface, selects bool) {
	const second = "shardRange(object.metadata.namespace, '0x8000000000000000', '0x10000000000000000')"
	page := func(selector, token string) (*corev1.PodList, error) {
		options := metav1.ListOptions{LabelSelector: executorSelector(appID), Limit: 250, Continue: token}
		list := &corev1.PodList{}
		request := client.CoreV1().RESTClient().Get().Resource("pods").VersionedParams(&options, scheme.ParameterCodec)
		return list, request.Param("shardSelector", selector).Do(t.Context()).Into(list)
	}
	want := []int{250, 250, 250, 250, 200}
	if selects {
		want = []int{250, 250, 100}
	}
	var sizes []int
	other := 0 // of the other shard
	for token := ""; len(sizes) == 0 || token != ""; {
		list, err := page(second, token)
		if err != nil {
			t.Fatal(err)
		}
		if (list.ShardInfo != nil) != selects {
			t.Errorf("the list has the shard %v, want it only if the server selects", list.ShardInfo)
		}
		sizes = append(sizes, len(list.Items))
		for _, pod := range list.Items {
			if shardOf(pod.Namespace, shardCount) != 1 {
				other++
			}
		}
		token = list.Continue
	}
	if !slices.Equal(sizes, want) || (other == 0) != selects {
		t.Errorf("pages of %v pods, %d of another shard; want %v, and none of another shard only if the server selects", sizes, other, want)
	}
	for _, invalid := range []string{"garbage", "shardRange(object.metadata.namespace, '0x0', '0x8000000000000000')"} {
		_, err := page(invalid, "")
		t.Logf("%s: %v", invalid, err)
		if (err != nil) != selects {
			t.Errorf("%s: %v, want an error only if the server selects", invalid, err)
		}
	}
}

// A shard is a source of one shard.
type shard struct {
	index, count int
	store        *watchsource.Store
	source       *watchsource.WatchSnapshotSource
	received     *atomic.Int64 // bytes of answers
	before       int64         // received when wantBytes was called last
	metadata     *atomic.Int32 // lists of metadata
}

// newShard starts a source.
func newShard(t *testing.T, config *rest.Config, isShared bool, index, count int) *shard {
	t.Helper()
	s := &shard{index: index, count: count, store: watchsource.NewStore(), received: new(atomic.Int64), metadata: new(atomic.Int32)}
	config = altered(config, func(next http.RoundTripper, request *http.Request) (*http.Response, error) {
		response, err := next.RoundTrip(request)
		switch {
		case err != nil:
		case strings.Contains(request.Header.Get("Accept"), "PartialObjectMetadataList"):
			s.metadata.Add(1)
		default:
			response.Body = countingBody{response.Body, s.received}
		}
		return response, err
	})
	options := []watchsource.Option{watchsource.WithShard(index, count), watchsource.WithVerification(5 * time.Second)}
	if isShared {
		s.source = watchsource.NewSharedWatch(newClient(t, config), options...).Source(s.store)
	} else {
		s.source = watchsource.NewWatchSnapshotSource(s.store, newClient(t, config), options...)
	}
	if err := s.source.Start(appID); err != nil {
		t.Fatalf("shard %d of %d: %v", index, count, err)
	}
	t.Cleanup(s.source.Stop)
	return s
}

// countingBody counts the bytes of an answer, after decompression.
type countingBody struct {
	io.ReadCloser
	received *atomic.Int64
}

func (b countingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.received.Add(int64(n))
	return n, err
}

// waitForVerifications waits until each source has verified, and meanwhile changes a pod of each
// shard, because a verification begins with an event or a bookmark.
func waitForVerifications(t *testing.T, client kubernetes.Interface, shards []*shard, pods []*corev1.Pod) {
	t.Helper()
	before := make([]int32, len(shards))
	for i, s := range shards {
		before[i] = s.metadata.Load()
	}
	waitUntil(t, "a verification of each shard", func() bool {
		setMessage(t, client, pods...)
		for i, s := range shards {
			if s.metadata.Load() == before[i] {
				return false
			}
		}
		return true
	})
}

// agreeOnShards waits until each source has exactly what the server lists in its namespaces.
func agreeOnShards(t *testing.T, client kubernetes.Interface, shards []*shard, when string) {
	t.Helper()
	list, err := client.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{LabelSelector: executorSelector(appID)})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range shards {
		own := slices.DeleteFunc(slices.Clone(list.Items), func(pod corev1.Pod) bool { return shardOf(pod.Namespace, s.count) != s.index })
		if len(own) < len(list.Items)/s.count/2 {
			t.Fatalf("%s: shard %d of %d has %d of %d pods, want about its part", when, s.index, s.count, len(own), len(list.Items))
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		_, err := s.store.WaitFor(ctx, holding(own))
		cancel()
		if err != nil {
			t.Errorf("%s: shard %d of %d has %d executors, want the %d that the server lists: %v",
				when, s.index, s.count, s.store.Snapshot().Len(), len(own), err)
		}
	}
}

// wantBytes compares the bytes that the sources have received since the last call. A quarter is
// left for the answers that do not depend on the pods.
func wantBytes(t *testing.T, all *shard, shards []*shard, selects bool, what string) {
	t.Helper()
	since := func(s *shard) int64 {
		now := s.received.Load()
		defer func() { s.before = now }()
		return now - s.before
	}
	whole := since(all)
	for _, s := range shards {
		part := float64(since(s)) / float64(whole)
		t.Logf("shard %d of %d has received %.2f of the %d bytes %s", s.index, s.count, part, whole, what)
		if selects && (part < 0.3 || part > 0.75) || !selects && (part < 0.9 || part > 1.1) {
			t.Errorf("shard %d of %d has received %.2f of the bytes %s, want about half if the server selects and all if not", s.index, s.count, part, what)
		}
	}
}

// changeShards changes some pods of each namespace, and replaces the first.
func changeShards(t *testing.T, client kubernetes.Interface, pods []*corev1.Pod) {
	t.Helper()
	var changed, replaced []*corev1.Pod
	for i, pod := range pods {
		switch {
		case i%podsPerNamespace == 0:
			again := pod.DeepCopy()
			again.UID, again.ResourceVersion = "", ""
			replaced = append(replaced, again)
		case i%4 == 0:
			changed = append(changed, pod)
		}
	}
	setMessage(t, client, changed...)
	remove(t, client, byForce, replaced...)
	create(t, client, replaced...)
}

// setMessage writes a new message into the status of pods.
func setMessage(t *testing.T, client kubernetes.Interface, pods ...*corev1.Pod) {
	t.Helper()
	inParallel(t, len(pods), func(i int) error {
		changed := fmt.Appendf(nil, `{"status":{"phase":"Running","message":"changed at %v"}}`, time.Now())
		_, err := client.CoreV1().Pods(pods[i].Namespace).
			Patch(t.Context(), pods[i].Name, types.StrategicMergePatchType, changed, metav1.PatchOptions{}, "status")
		return err
	})
}
