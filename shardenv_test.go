// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"fmt"
	"hash/fnv"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/internal/test/podtest"
	"github.com/executorpods/watchsource/watchtest"
)

// What tests of shards have in common.

// shardNamespaces are namespaces of which each of three shards has some. The shard 0 of two has
// spark, and the shard 1 of two has default.
var shardNamespaces = []string{"jobs", "spark", "default", "kube-system", "test", "prod", "a", "batch"}

// shardOf is the documented shard of a namespace, by the hash of the standard library.
func shardOf(namespace string, count int) int {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(namespace))
	part, _ := bits.Mul64(hash.Sum64(), uint64(count))
	return int(part)
}

// podIn returns an executor in a namespace. Its name has the namespace, and so is unique.
func podIn(namespace, id string, options ...func(*corev1.Pod)) *corev1.Pod {
	return pod(id, append([]func(*corev1.Pod){podtest.Named(namespace, "exec-"+namespace+"-"+id)}, options...)...)
}

// churnNamespaces creates, changes and deletes pods in all namespaces at random.
func churnNamespaces(server *watchtest.Server, random *rand.Rand, steps int) {
	for step := range steps {
		pods := server.List("")
		if len(pods) < 10 || len(pods) < 60 && random.IntN(3) == 0 {
			namespace := shardNamespaces[random.IntN(len(shardNamespaces))]
			server.Create(podIn(namespace, fmt.Sprintf("%d-%s", step, server.ResourceVersion())))
			continue
		}
		churnOne(server, random, pods)
	}
}

// A shard is a source of one shard, and what its stores have received.
type sharded struct {
	index, count int
	source       *watchsource.WatchSnapshotSource
	store        *watchsource.Store
	pods         *podRecorder
}

// startShards starts one source for each shard of count.
func startShards(t *testing.T, newSource modeltest.NewSource, client kubernetes.Interface, count int, opts ...watchsource.Option) []*sharded {
	t.Helper()
	var all []*sharded
	for index := range count {
		s := &sharded{index: index, count: count, store: watchsource.NewStore(), pods: new(podRecorder)}
		s.source = newSource(watchsource.Tee(s.store, s.pods), client, append(opts, watchsource.WithShard(index, count))...)
		start(t, s.source, "app")
		t.Cleanup(s.source.Stop)
		all = append(all, s)
	}
	return all
}

// check fails unless the view is what the server has in the namespaces of the shard, and the
// store has never received a pod of another one.
func (s *sharded) check(t *testing.T, server *watchtest.Server, when string) {
	t.Helper()
	synctest.Wait()
	has := map[string]watchsource.Executor{}
	for e := range s.store.Snapshot().All() {
		has[e.Name] = e
	}
	for _, want := range server.List(executors) {
		if shardOf(want.Namespace, s.count) != s.index {
			continue
		}
		e, ok := has[want.Name]
		delete(has, want.Name)
		want.ManagedFields = nil
		if !ok || !podtest.Equal(keptPod(t, e), &want) {
			t.Errorf("%s: shard %d of %d lacks %s at version %s", when, s.index, s.count, want.Name, want.ResourceVersion)
		}
	}
	for name, e := range has {
		t.Errorf("%s: shard %d of %d has %s of namespace %s, want it gone", when, s.index, s.count, name, e.Namespace)
	}
	s.pods.mu.Lock()
	defer s.pods.mu.Unlock()
	for _, p := range s.pods.all {
		if shardOf(p.Namespace, s.count) != s.index {
			t.Fatalf("%s: the store of shard %d of %d received %s of namespace %s", when, s.index, s.count, p.Name, p.Namespace)
		}
	}
}

// shardServers are servers that select by shard, and those that ignore it.
var shardServers = map[string][]watchtest.Option{
	"selected by the server": {watchtest.WithShardSelector()},
	"ignored by the server":  nil,
}

// eachShardServer runs a test in bubbles, for both constructors, with servers that select by
// shard and with those that do not, with streaming lists and without.
func eachShardServer(t *testing.T, test func(t *testing.T, newSource modeltest.NewSource, server *watchtest.Server)) {
	eachConstructor(t, func(t *testing.T, newSource modeltest.NewSource) {
		for name, options := range shardServers {
			for list, more := range map[string][]watchtest.Option{
				"streaming list": nil,
				"plain list":     {watchtest.WithoutStreamingLists()},
			} {
				inBubble(t, name+"/"+list, func(t *testing.T) {
					test(t, newSource, watchtest.NewServer(slices.Concat(options, more)...))
				})
			}
		}
	})
}

var shardClients = map[string]func(t *testing.T, server *watchtest.Server) kubernetes.Interface{
	"protobuf":             func(_ *testing.T, server *watchtest.Server) kubernetes.Interface { return server.Client() },
	"JSON through a proxy": jsonClient,
	"JSON client":          func(_ *testing.T, server *watchtest.Server) kubernetes.Interface { return server.JSONClient() },
	"own client": func(_ *testing.T, server *watchtest.Server) kubernetes.Interface {
		return wrappedClient{server.Client()}
	},
}
