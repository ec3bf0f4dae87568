// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/internal/test/podtest"
	"github.com/executorpods/watchsource/watchtest"
)

// One or more tests for each numbered guarantee of the package documentation. Those of guarantee 7
// are in guarantee7_test.go and health_test.go, those of 6 in silence_test.go, of 10 in stop_test.go,
// and of 11 in executordetails_test.go.

const executors = podtest.Selector

// G1: after Start the store has the complete state. Later it equals a LIST at its resource
// version. This holds with and without streaming lists, in protobuf and JSON.
func TestGuarantee1EqualsList(t *testing.T) {
	for _, test := range []struct {
		name   string
		server []watchtest.Option
		json   bool
		pods   int
	}{
		{name: "streaming list", pods: 30},
		{name: "streaming list, JSON", json: true, pods: 30},
		{name: "list", server: []watchtest.Option{watchtest.WithoutStreamingLists()}, pods: 30},
		{name: "list, JSON", server: []watchtest.Option{watchtest.WithoutStreamingLists()}, json: true, pods: 30},
		{name: "list in pages", server: []watchtest.Option{watchtest.WithoutStreamingLists()}, pods: 1201},
		{name: "nothing there yet", pods: 0},
	} {
		eachCaseInBubble(t, test.name, func(t *testing.T, newSource modeltest.NewSource) {
			server := watchtest.NewServer(test.server...)
			for i := range test.pods {
				server.Create(pod(fmt.Sprint(i)))
			}
			server.Create(driver("app"))
			client := server.Client()
			if test.json {
				client = server.JSONClient()
			}
			store := watchsource.NewStore()
			source := newSource(store, client)
			start(t, source, "app")
			defer source.Stop()

			snapshot := store.Snapshot() // at once, without waiting
			if snapshot.Len() != test.pods || !snapshot.Complete() || snapshot.ResourceVersion() != server.ResourceVersion() {
				t.Errorf("after Start %d executors at version %q, complete %v; want %d at %q",
					snapshot.Len(), snapshot.ResourceVersion(), snapshot.Complete(), test.pods, server.ResourceVersion())
			}
			wantEqualToList(t, server, store)
			churn(server, rand.New(rand.NewPCG(1, 2)), 300)
			server.Create(pod("last"))
			wantEqualToList(t, server, store)
			if got, want := store.Snapshot().ResourceVersion(), server.ResourceVersion(); got != want {
				t.Errorf("the snapshot is at version %q, want %q as on the server", got, want)
			}
		})
	}
}

// churn creates, changes and deletes pods at random.
func churn(server *watchtest.Server, random *rand.Rand, steps int) {
	for step := range steps {
		pods := server.List("")
		if len(pods) == 0 || random.IntN(3) == 0 {
			server.Create(pod(fmt.Sprintf("churn-%d-%s", step, server.ResourceVersion())))
			continue
		}
		churnOne(server, random, pods)
	}
}

// churnOne changes or deletes one of the pods at random.
func churnOne(server *watchtest.Server, random *rand.Rand, pods []corev1.Pod) {
	p := pods[random.IntN(len(pods))]
	switch random.IntN(6) {
	case 0:
		server.Delete(p.Namespace, p.Name)
	case 1:
		server.Update(p.Namespace, p.Name, label(watchsource.LabelApp, []string{"app", "other"}[random.IntN(2)]))
	default:
		phases := []corev1.PodPhase{corev1.PodPending, corev1.PodRunning, corev1.PodSucceeded, corev1.PodFailed}
		server.Update(p.Namespace, p.Name, phase(phases[random.IntN(len(phases))]))
	}
}

// orderStore is a store that records the order in which the states of a pod arrive.
type orderStore struct {
	watchsource.SnapshotsStore
	steps []string
}

func (s *orderStore) UpdatePod(p *corev1.Pod) {
	s.steps = append(s.steps, p.Annotations["step"])
	s.SnapshotsStore.UpdatePod(p)
}

// G2: states arrive in the order in which the API server produced them. While the watch is
// open, every state arrives. No state arrives after a newer one.
func TestGuarantee2InOrder(t *testing.T) {
	eachWayInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		server := watchtest.NewServer()
		server.Create(pod("1"))
		store := &orderStore{SnapshotsStore: watchsource.NewStore()}
		startSource(t, newSource, server, store)
		var want []string
		for step := range 100 {
			server.Update("jobs", "exec-1", func(p *corev1.Pod) { p.Annotations = map[string]string{"step": fmt.Sprint(step)} })
			want = append(want, fmt.Sprint(step))
			if step%10 == 5 {
				server.Strike(watchtest.Cut())
				time.Sleep(time.Minute)
			}
		}
		synctest.Wait()
		if !slices.Equal(store.steps, want) {
			t.Errorf("states arrived as %v, want %v", store.steps, want)
		}
	})
}

// waysToLeave are the cases of TestGuarantee3GoneOnce.
var waysToLeave = []struct {
	name  string
	leave func(t *testing.T, server *watchtest.Server)
}{
	{name: "deleted", leave: func(t *testing.T, server *watchtest.Server) { server.Delete("jobs", "exec-1") }},
	{name: "relabelled", leave: func(t *testing.T, server *watchtest.Server) {
		server.Update("jobs", "exec-1", label(watchsource.LabelApp, "other"))
	}},
	{name: "created again under its name", leave: func(t *testing.T, server *watchtest.Server) {
		server.Delete("jobs", "exec-1")
		server.Create(pod("1", label(watchsource.LabelRole, "driver")))
	}},
	{name: "while disconnected, and resumed", leave: func(t *testing.T, server *watchtest.Server) {
		lift := server.Inject(watchtest.Fault{Do: watchtest.Refuse()})
		server.Strike(watchtest.Reset())
		time.Sleep(time.Minute)
		server.Delete("jobs", "exec-1")
		lift()
	}},
	{name: "while disconnected, and listed again", leave: func(t *testing.T, server *watchtest.Server) {
		lift := server.Inject(watchtest.Fault{Do: watchtest.Refuse()})
		server.Strike(watchtest.Reset())
		time.Sleep(time.Minute)
		server.Delete("jobs", "exec-1")
		server.Compact()
		lift()
	}},
}

// G3: a pod that leaves in any way is reported as deleted exactly once, with its last known
// state.
func TestGuarantee3GoneOnce(t *testing.T) {
	for _, test := range waysToLeave {
		eachCaseEachWay(t, test.name, func(t *testing.T, newSource modeltest.NewSource) {
			env := newEnv(t, newSource)
			env.create("1", phase(corev1.PodRunning), func(p *corev1.Pod) { p.Spec.NodeName = "node-1" })
			env.create("2", phase(corev1.PodRunning))
			env.start()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var deletions []watchsource.Change
			go func() {
				for batch := range env.store.Batches(ctx, 0) {
					for _, c := range batch.Changes {
						if c.After.State == watchsource.Deleted {
							deletions = append(deletions, c)
						}
					}
				}
			}()
			synctest.Wait()
			test.leave(t, env.server)
			time.Sleep(10 * time.Minute)
			cancel()
			synctest.Wait()
			if len(deletions) != 1 {
				t.Fatalf("reported as deleted %d times, want once", len(deletions))
			}
			if c := deletions[0]; c.After.Name != "exec-1" || c.After.Node != "node-1" || c.Before == nil || c.Before.State != watchsource.Running {
				t.Errorf("deletion reported with After %+v, Before %+v, want exec-1 on node-1, Running before", c.After, c.Before)
			}
			if got := names(env.store.Snapshot()); got != "exec-2=Running" {
				t.Errorf("snapshot %q, want exec-2=Running", got)
			}
		})
	}
}

// endsAndDeletions counts the ends and the deletions that a reader receives.
type endsAndDeletions struct{ ends, deleted map[string]int }

func (e endsAndDeletions) read(ctx context.Context, store *watchsource.Store, interval time.Duration) {
	for batch := range store.Batches(ctx, interval) {
		for _, c := range batch.Changes {
			switch {
			case c.After.State.Ended():
				e.ends[fmt.Sprintf("%s %v %d", c.After.ID, c.After.State, c.After.ExitCode)]++
			case c.After.State == watchsource.Deleted:
				e.deleted[c.After.ID]++
			}
		}
	}
}

// G4: every reader receives every end, even if the reader is slow or the pod existed only
// briefly.
func TestGuarantee4EveryEndReachesEveryReader(t *testing.T) {
	eachWayInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		env := newEnv(t, newSource)
		env.start()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		intervals := []time.Duration{0, time.Second, time.Hour}
		readers := make([]endsAndDeletions, len(intervals))
		for i, interval := range intervals {
			readers[i] = endsAndDeletions{ends: map[string]int{}, deleted: map[string]int{}}
			go readers[i].read(ctx, env.store, interval)
		}
		synctest.Wait()
		want := map[string]int{}
		for i := range 200 {
			id := fmt.Sprint(i)
			env.create(id)
			env.server.Update("jobs", "exec-"+id, phase(corev1.PodRunning))
			env.server.Update("jobs", "exec-"+id, func(p *corev1.Pod) {
				phase(corev1.PodFailed)(p)
				container(executorContainer, ended(int32(i)+1, "Error"))(p)
			})
			env.server.Delete("jobs", "exec-"+id)
			want[fmt.Sprintf("%d Failed %d", i, i+1)] = 1
			if i%50 == 0 {
				time.Sleep(3 * time.Second)
			}
		}
		time.Sleep(2 * time.Hour)
		cancel()
		synctest.Wait()
		for i, interval := range intervals {
			ends, deleted := readers[i].ends, readers[i].deleted
			if fmt.Sprint(ends) != fmt.Sprint(want) {
				t.Errorf("the reader with interval %v received the ends %v, want %v", interval, ends, want)
			}
			for id, times := range deleted {
				if times != 1 {
					t.Errorf("the reader with interval %v received %d deletions of %s, want 1", interval, times, id)
				}
			}
			if len(deleted) != len(want) {
				t.Errorf("the reader with interval %v received %d deletions, want %d", interval, len(deleted), len(want))
			}
		}
	})
}

// G5: after a transport fault the source resumes and does not list. After an expired version
// it lists.
func TestGuarantee5ResumeNotRelist(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		env := newEnv(t, newSource)
		env.create("1")
		env.start()
		faults := []watchtest.Effect{
			watchtest.Cut(), watchtest.Reset(), watchtest.Tear(), watchtest.SendRaw([]byte{0, 0, 0, 2, 'x', 'y'}),
			watchtest.SendError(apierrors.NewInternalError(fmt.Errorf("etcd has a cold"))),
		}
		for round := range 100 {
			env.server.Strike(faults[round%len(faults)])
			env.server.Create(pod(fmt.Sprintf("round-%d", round)))
			time.Sleep(10 * time.Second)
			env.wantEqualToList()
		}
		if n := completeLists(env.server); n != 1 {
			t.Errorf("100 faults caused %d lists, want 0", n-1)
		}
		if got := env.source.Status(); got.Resumes < 100 || got.Relists != 0 {
			t.Errorf("%d resumes and %d relists in Status, want at least 100 and 0", got.Resumes, got.Relists)
		}

		lift := env.server.Inject(watchtest.Fault{Do: watchtest.Refuse()})
		env.server.Strike(watchtest.Reset())
		synctest.Wait() // until the client has been refused once
		env.create("while-away")
		env.delete("1")
		env.server.Compact()
		lift()
		time.Sleep(time.Minute)
		env.wantEqualToList()
		if n := completeLists(env.server); n != 2 {
			t.Errorf("an outage and an expired version caused %d lists, want 1", n-1)
		}
		if got := env.source.Status(); got.Relists != 1 {
			t.Errorf("%d relists in Status, want 1", got.Relists)
		}
	})
}

// G8: a slow reader does not delay the store or other readers. The memory of its backlog
// grows with the executors, not with the events.
func TestGuarantee8SlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := watchsource.NewStore()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		resume := make(chan struct{})
		var batches []int
		go func() {
			for batch := range store.Batches(ctx, 0) {
				batches = append(batches, len(batch.Changes))
				<-resume
			}
		}()
		synctest.Wait() // the reader has its first batch and waits
		const pods, events = 10, 10_000
		for i := range events {
			store.UpdatePod(pod(fmt.Sprint(i%pods), uid(fmt.Sprint(i%pods)), version(fmt.Sprint(i+1)), phase(corev1.PodRunning)))
		}
		if got := store.Snapshot().Count(watchsource.Running); got != pods {
			t.Errorf("%d running while a reader waits, want %d", got, pods)
		}
		close(resume)
		synctest.Wait()
		if !slices.Equal(batches, []int{0, pods}) {
			t.Errorf("after %d events of %d pods the batches had %v changes, want [0 %d]", events, pods, batches, pods)
		}
	})
}

// G9: a snapshot does not change, taking it does not allocate, and it has the version, the
// time of the last sync and whether it is complete.
func TestGuarantee9Snapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := watchsource.NewStore()
		if s := store.Snapshot(); s.Complete() || !s.SyncedAt().IsZero() || s.ResourceVersion() != "" || s.Len() != 0 {
			t.Errorf("a new store has a snapshot of %d at version %q, complete %v, synced at %v, want the zero values", s.Len(),
				s.ResourceVersion(), s.Complete(), s.SyncedAt())
		}
		store.UpdatePod(pod("0"))
		if store.Snapshot().Complete() {
			t.Error("the snapshot is complete before the first list, want it incomplete")
		}
		time.Sleep(time.Minute)
		var list []*corev1.Pod
		for i := range 1000 {
			list = append(list, pod(fmt.Sprint(i), uid(fmt.Sprint(i)), version("5"), phase(corev1.PodRunning)))
		}
		store.ReplaceSnapshot(list)
		store.ObserveResourceVersion("7")
		synced := time.Now()
		old := store.Snapshot()
		before := names(old)
		if !old.Complete() || !old.SyncedAt().Equal(synced) || old.ResourceVersion() != "7" {
			t.Errorf("complete %v, synced at %v, version %q, want true, %v, 7", old.Complete(), old.SyncedAt(), old.ResourceVersion(), synced)
		}

		time.Sleep(time.Minute)
		for i := range 500 {
			store.DeletePod(pod(fmt.Sprint(i), uid(fmt.Sprint(i)), version("8")))
			store.UpdatePod(pod(fmt.Sprint(500+i), uid(fmt.Sprint(500+i)), version("9"), phase(corev1.PodFailed)))
		}
		if names(old) != before || old.Count(watchsource.Running) != 1000 || old.Len() != 1000 {
			t.Errorf("the earlier snapshot has %d executors, %d running, want 1000 running and no change", old.Len(), old.Count(watchsource.Running))
		}
		if now := store.Snapshot(); now.Count(watchsource.Failed) != 500 || now.Len() != 500 || now.ResourceVersion() != "9" || !now.SyncedAt().Equal(synced) {
			t.Errorf("the new snapshot has %d failed of %d at version %q, synced at %v, want 500 of 500 at 9, synced at %v",
				now.Count(watchsource.Failed), now.Len(), now.ResourceVersion(), now.SyncedAt(), synced)
		}
		if n := testing.AllocsPerRun(100, func() { old = store.Snapshot() }); n != 0 {
			t.Errorf("taking a snapshot allocates %v times, want 0", n)
		}
	})
}
