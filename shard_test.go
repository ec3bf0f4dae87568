// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/watchtest"
)

// Three shards have each pod once, through changes, resumes and relists, and no store ever
// receives a pod of another shard, with each kind of client.
func TestShardsDivideThePods(t *testing.T) {
	for name, client := range shardClients {
		t.Run(name, func(t *testing.T) {
			eachShardServer(t, func(t *testing.T, newSource modeltest.NewSource, server *watchtest.Server) {
				random := rand.New(rand.NewPCG(1, 2))
				churnNamespaces(server, random, 100)
				shards := startShards(t, newSource, client(t, server), 3, watchsource.WithVerification(verifyEvery))
				check := func(when string) {
					t.Helper()
					for _, s := range shards {
						s.check(t, server, when)
					}
				}
				check("after Start")
				churnNamespaces(server, random, 150)
				check("after changes")

				server.Strike(watchtest.Cut())
				churnNamespaces(server, random, 50)
				time.Sleep(time.Minute)
				check("after a resume")

				server.Inject(watchtest.Fault{On: watchtest.Watch, Times: 3, Do: watchtest.Delay(time.Second)})
				server.Strike(watchtest.Cut())
				churnNamespaces(server, random, 50)
				server.Compact()
				time.Sleep(time.Minute)
				check("after a relist")
				time.Sleep(2 * noticed) // with verifications
				check("after verifications")
				for _, s := range shards {
					if status := s.source.Status(); status.Relists != 1 || status.Stalls != 0 {
						t.Errorf("shard %d: %d relists and %d stalls, want 1 and 0; last error %v", s.index, status.Relists, status.Stalls, status.Err)
					}
				}
			})
		})
	}
}

// A store that keeps no pods has the executors of the shard only, and reads trimmed pods of it.
func TestShardWithoutPods(t *testing.T) {
	eachShardServer(t, func(t *testing.T, newSource modeltest.NewSource, server *watchtest.Server) {
		random := rand.New(rand.NewPCG(5, 6))
		churnNamespaces(server, random, 50)
		store := watchsource.NewStore(watchsource.WithoutPods())
		startSource(t, newSource, server, store, watchsource.WithShard(1, 2), watchsource.WithTrimmedPods())
		churnNamespaces(server, random, 200)
		synctest.Wait()
		var want []string
		for _, p := range server.List(executors) {
			if shardOf(p.Namespace, 2) == 1 {
				want = append(want, fmt.Sprintf("%s/%s at %s", p.Namespace, p.Name, p.ResourceVersion))
			}
		}
		var got []string
		for e := range store.Snapshot().All() {
			got = append(got, fmt.Sprintf("%s/%s at %s", e.Namespace, e.Name, e.ResourceVersion))
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("the store has %v, want %v", got, want)
		}
	})
}

// A plain list of several pages is divided too. Each page has the parameter, because the token
// does not contain the shard.
func TestShardOfAListInPages(t *testing.T) {
	for name, options := range shardServers {
		eachCaseInBubble(t, name, func(t *testing.T, newSource modeltest.NewSource) {
			server := watchtest.NewServer(append(options, watchtest.WithoutStreamingLists())...)
			for i := range 1600 {
				server.Create(podIn(shardNamespaces[i%len(shardNamespaces)], fmt.Sprint(i)))
			}
			for _, s := range startShards(t, newSource, server.Client(), 2) {
				s.check(t, server, "after Start")
			}
			pages := 0
			for _, r := range server.Requests() {
				if r.Options.Continue == "" {
					continue
				}
				pages++
				if r.ShardSelector == "" {
					t.Errorf("%v lacks the shard", r)
				}
			}
			if pages < 2 {
				t.Errorf("%d further pages, want at least 2", pages)
			}
		})
	}
}

// Each request for the pods of a shard names it in the form that a server parses: the lists,
// the list of a late source, the watches and the verifications.
func TestShardIsRequested(t *testing.T) {
	for name, client := range shardClients {
		t.Run(name, func(t *testing.T) {
			_, has := reflect.TypeFor[metav1.ListOptions]().FieldByName("ShardSelector")
			if name == "own client" && !has {
				t.Skip("this version of apimachinery has no such option")
			}
			eachShardServer(t, func(t *testing.T, newSource modeltest.NewSource, server *watchtest.Server) {
				server.Create(podIn("default", "1"))
				startShards(t, newSource, client(t, server), 2, watchsource.WithVerification(verifyEvery))
				server.Strike(watchtest.Cut())
				time.Sleep(2 * noticed)
				selectors := map[string]map[watchtest.Verb]int{}
				for _, r := range server.Requests() {
					if r.Options.FieldSelector != "" {
						continue // the version of the server, which is not about pods
					}
					if selectors[r.ShardSelector] == nil {
						selectors[r.ShardSelector] = map[watchtest.Verb]int{}
					}
					selectors[r.ShardSelector][r.Verb]++
				}
				for _, half := range []string{"'0x0000000000000000', '0x8000000000000000'", "'0x8000000000000000', '0x10000000000000000'"} {
					selector := "shardRange(object.metadata.namespace, " + half + ")"
					if selectors[selector][watchtest.Watch] == 0 || selectors[selector][watchtest.List] == 0 {
						t.Errorf("requests with %s: %v, want lists and watches", selector, selectors[selector])
					}
					delete(selectors, selector)
				}
				if len(selectors) > 0 {
					t.Errorf("further requests: %v, want none", selectors)
				}
			})
		})
	}
}

// The list of a source that starts late on a SharedWatch has the pods of the shard only.
func TestShardOfALateSource(t *testing.T) {
	for name, options := range shardServers {
		for clientName, client := range shardClients {
			inBubble(t, name+"/"+clientName, func(t *testing.T) {
				server := watchtest.NewServer(options...)
				for _, namespace := range shardNamespaces {
					server.Create(podIn(namespace, "1"))
					server.Create(podIn(namespace, "2", label(watchsource.LabelApp, "late")))
				}
				shared := watchsource.NewSharedWatch(client(t, server), watchsource.WithShard(1, 2))
				first := shared.Source(watchsource.NewStore())
				start(t, first, "app")
				defer first.Stop()
				store, pods := watchsource.NewStore(), new(podRecorder)
				late := shared.Source(watchsource.Tee(store, pods))
				start(t, late, "late")
				defer late.Stop()
				synctest.Wait()
				var want, got []string
				for _, namespace := range shardNamespaces {
					if shardOf(namespace, 2) == 1 {
						want = append(want, "exec-"+namespace+"-2")
					}
				}
				pods.mu.Lock()
				defer pods.mu.Unlock()
				for _, p := range pods.all {
					got = append(got, p.Name)
				}
				slices.Sort(got)
				slices.Sort(want)
				if !slices.Equal(got, want) {
					t.Errorf("the late source received %v, want %v", got, want)
				}
			})
		}
	}
}

// With a count of 1 the source watches all namespaces, and requests no shard.
func TestShardOfOne(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		server := watchtest.NewServer(watchtest.WithShardSelector())
		churnNamespaces(server, rand.New(rand.NewPCG(3, 4)), 50)
		startShards(t, newSource, server.Client(), 1)[0].check(t, server, "after Start")
		inOneNamespace := newSource(watchsource.NewStore(), server.Client(), watchsource.WithShard(0, 1), watchsource.WithNamespace("default"))
		start(t, inOneNamespace, "app")
		defer inOneNamespace.Stop()
		for _, r := range server.Requests() {
			if r.ShardSelector != "" {
				t.Errorf("%v with the shard %s, want none", r, r.ShardSelector)
			}
		}
	})
}

// An invalid shard is an error of Start, without a request.
func TestStartErrorsOfShards(t *testing.T) {
	eachConstructor(t, func(t *testing.T, newSource modeltest.NewSource) {
		for name, test := range map[string]struct {
			options []watchsource.Option
			says    []string
		}{
			"no shards":         {[]watchsource.Option{watchsource.WithShard(0, 0)}, []string{"WithShard(0, 0)", "the count must be at least 1"}},
			"a negative count":  {[]watchsource.Option{watchsource.WithShard(0, -2)}, []string{"WithShard(0, -2)", "the count must be at least 1"}},
			"a negative index":  {[]watchsource.Option{watchsource.WithShard(-1, 3)}, []string{"WithShard(-1, 3)", "the index must be from 0 to 2"}},
			"an index too high": {[]watchsource.Option{watchsource.WithShard(3, 3)}, []string{"WithShard(3, 3)", "the index must be from 0 to 2"}},
			"index and count exchanged": {[]watchsource.Option{watchsource.WithShard(1, 0)}, []string{
				"WithShard(1, 0)", "the count must be at least 1"}},
			"of one namespace that it has": {[]watchsource.Option{watchsource.WithShard(1, 2), watchsource.WithNamespace("default")}, []string{
				"WithShard(1, 2)", `WithNamespace("default")`, "leave one of them out"}},
			"of one namespace that it lacks": {[]watchsource.Option{watchsource.WithNamespace("default"), watchsource.WithShard(0, 2)}, []string{
				"WithShard(0, 2)", `WithNamespace("default")`, "leave one of them out"}},
		} {
			t.Run(name, func(t *testing.T) {
				server := watchtest.NewServer()
				source := newSource(watchsource.NewStore(), server.Client(), test.options...)
				startError{says: test.says}.check(t, source.Start("app"))
				if n := len(server.Requests()); n != 0 {
					t.Errorf("%d requests, want none", n)
				}
			})
		}
	})
}

// A server that ignores the shard sends events of other shards. They advance the version, so
// that a stream that is cut before a bookmark is resumed after a compaction of what lies
// before, and they show that the server is there. They do not count as events, and the
// observer and the store hear of at most one a second.
func TestEventsOfOtherShards(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		env := newEnv(t, newSource, watchtest.WithBookmarkInterval(0))
		env.server.Create(podIn("default", "1"))
		env.server.Create(podIn("spark", "1"))
		observed := new(observations)
		env.start(watchsource.WithShard(1, 2), watchsource.WithObserver(observed.observe))
		const perSecond, seconds = 20, 600
		for i := range perSecond * seconds {
			env.server.Update("spark", "exec-spark-1", touch)
			time.Sleep(time.Second / perSecond)
			switch {
			case i%100 != 0:
			case i%1000 == 0:
				env.server.Strike(watchtest.Cut()) // before any bookmark
				fallthrough
			default:
				time.Sleep(time.Second)
				env.server.Compact()
				env.server.Update("spark", "exec-spark-1", touch)
			}
			if err := env.source.Healthy(10 * time.Second); err != nil {
				t.Fatalf("after %d events of another shard: %v", i, err)
			}
		}
		synctest.Wait()
		status := env.source.Status()
		if status.Events != 0 || status.Relists != 0 || status.Stalls != 0 || status.Phase != watchsource.Watching {
			t.Errorf("%d events, %d relists, %d stalls, %v; want 0, 0, 0, Watching; last error %v",
				status.Events, status.Relists, status.Stalls, status.Phase, status.Err)
		}
		observed.mu.Lock()
		defer observed.mu.Unlock()
		received := 0
		for _, o := range observed.all {
			if o.Kind == watchsource.Received {
				received++
			}
		}
		if received < seconds/2 || received > 2*seconds {
			t.Errorf("the observer heard of %d events in %d seconds, want about one a second", received, seconds)
		}
		if names := names(env.store.Snapshot()); names != "exec-default-1=Pending" {
			t.Errorf("the view has %s, want exec-default-1 only", names)
		}
	})
}

// A pod of another shard is not decoded. If it is damaged, the watch goes on.
func TestBadPodOfAnotherShard(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		env := newEnv(t, newSource)
		env.server.Create(podIn("default", "1"))
		env.server.Create(podIn("spark", "1"))
		env.start(watchsource.WithShard(1, 2))
		env.server.Strike(watchtest.Malform())
		env.server.Update("spark", "exec-spark-1", touch)
		env.server.Update("default", "exec-default-1", phase(corev1.PodRunning))
		wantNames(t, env.store, "exec-default-1=Running")
		if status := env.source.Status(); status.Errors != 0 || status.Resumes != 0 {
			t.Errorf("%d errors and %d resumes, want none; last error %v", status.Errors, status.Resumes, status.Err)
		}
	})
}

// A verification ignores a lost event of another shard, and repairs a lost event of the shard.
func TestVerificationOfAShard(t *testing.T) {
	eachShardServer(t, func(t *testing.T, newSource modeltest.NewSource, server *watchtest.Server) {
		for _, namespace := range shardNamespaces {
			server.Create(podIn(namespace, "1"))
			server.Create(podIn(namespace, "2"))
		}
		own := startShards(t, newSource, server.Client(), 2, watchsource.WithVerification(verifyEvery))[1]
		// A watch that ends is resumed from the event after the one that is lost, see lose.
		loseDeletion := func(namespace string) {
			server.Strike(watchtest.Lose(1))
			server.Delete(namespace, "exec-"+namespace+"-1")
			server.Update(namespace, "exec-"+namespace+"-2", touch)
		}
		loseDeletion("spark")
		time.Sleep(2 * noticed)
		if status := own.source.Status(); status.Relists != 0 || status.Err != nil {
			t.Fatalf("after a lost event of another shard %d relists, %v; want none", status.Relists, status.Err)
		}
		loseDeletion("default")
		time.Sleep(2 * noticed)
		own.check(t, server, "after a lost event")
		if status := own.source.Status(); status.Relists != 1 || !strings.Contains(fmt.Sprint(status.Err), "pod default/exec-default-1 is gone") {
			t.Errorf("after a lost event %d relists, %v; want 1 and the pod", status.Relists, status.Err)
		}
	})
}

// A fake clientset is divided by the source.
func TestShardOfAFake(t *testing.T) {
	eachFake(t, func(t *testing.T, newSource modeltest.NewSource, form func(*fake.Clientset) kubernetes.Interface) {
		client := fake.NewClientset(podIn("default", "1"), podIn("spark", "1"))
		shards := startShards(t, newSource, form(client), 2)
		for _, namespace := range []string{"default", "spark"} {
			create(t, client, podIn(namespace, "2"))
			modify(t, client, podIn(namespace, "1", phase(corev1.PodRunning)))
		}
		wantNames(t, shards[0].store, "exec-spark-1=Running exec-spark-2=Pending")
		wantNames(t, shards[1].store, "exec-default-1=Running exec-default-2=Pending")
		for _, namespace := range []string{"default", "spark"} {
			remove(t, client, podIn(namespace, "1"))
		}
		wantNames(t, shards[0].store, "exec-spark-2=Pending")
		wantNames(t, shards[1].store, "exec-default-2=Pending")
		for _, s := range shards {
			for _, p := range s.pods.all {
				if shardOf(p.Namespace, 2) != s.index {
					t.Errorf("the store of shard %d received a pod of namespace %s", s.index, p.Namespace)
				}
			}
		}
	})
}
