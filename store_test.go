// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/internal/test/podtest"
	"github.com/executorpods/watchsource/watchtest"
)

var (
	seed     = flag.Uint64("seed", 0, "seed of the random tests, 0 for a random one")
	podLives = flag.Int("lives", defaultLives, "number of lives of TestEachEndOnce, from -seed on")
)

const defaultLives = 3000

// random returns a source of random numbers that -seed replays.
func random(t *testing.T) *rand.Rand {
	s := *seed
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("replay with -seed=%d", s)
	return rand.New(rand.NewPCG(s, 0))
}

// The case N3 of Spark's ExecutorPodsSnapshotSuite.
func TestUpdateReplacesAddsAndKeeps(t *testing.T) {
	store := watchsource.NewStore()
	store.ReplaceSnapshot([]*corev1.Pod{pod("0"), pod("1", phase(corev1.PodRunning))})
	original := store.Snapshot()
	store.UpdatePod(pod("1", phase(corev1.PodSucceeded)))
	store.UpdatePod(pod("2"))
	if got := names(original); got != "exec-0=Pending exec-1=Running" {
		t.Errorf("the snapshot taken before has become %q, want it unchanged", got)
	}
	if got := names(store.Snapshot()); got != "exec-0=Pending exec-1=Succeeded exec-2=Pending" {
		t.Errorf("the newest snapshot has %q, want the three executors in their newest states", got)
	}
}

func TestSnapshotLookups(t *testing.T) {
	createdAt := func(seconds int64) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.CreationTimestamp = metav1.NewTime(time.Unix(seconds, 0)) }
	}
	store := watchsource.NewStore()
	store.ReplaceSnapshot([]*corev1.Pod{
		pod("1", podtest.Named("n2", "b"), createdAt(10)),
		pod("1", podtest.Named("n1", "a"), createdAt(20)), // the same id again, younger
		pod("2", podtest.Named("n1", "b"), createdAt(5)),
		pod("22", podtest.Named("n1", "bb"), createdAt(5)),
		pod("EXECID", podtest.Named("n1", "c")),
	})
	s := store.Snapshot()
	if e, ok := s.Get("b"); !ok || e.Namespace != "n1" {
		t.Errorf("Get(b) = %v in %q, want the first namespace", ok, e.Namespace)
	}
	if e, ok := s.ByID("1"); !ok || e.Name != "a" {
		t.Errorf("ByID(1) = %v %q, want the younger pod", ok, e.Name)
	}
	if e, ok := s.ByID("2"); !ok || e.Name != "b" {
		t.Errorf("ByID(2) = %v %q, want true \"b\"", ok, e.Name)
	}
	for _, id := range []string{"", "3", "EXECID"} {
		if e, ok := s.ByID(id); ok {
			t.Errorf("ByID(%q) found %s, want none", id, e.Name)
		}
	}
	if _, ok := s.Get("bbb"); ok {
		t.Error("Get(bbb) found a pod, want none")
	}
	var order []string
	for e := range s.All() {
		order = append(order, e.Name+"/"+e.Namespace)
	}
	if got := strings.Join(order, " "); got != "a/n1 b/n1 b/n2 bb/n1 c/n1" {
		t.Errorf("the order is %s, want it by name, then by namespace", got)
	}

	// An executor id that moves to another pod's label.
	store.UpdatePod(pod("3", podtest.Named("n1", "a"), createdAt(20)))
	if e, _ := store.Snapshot().ByID("1"); e.Name != "b" {
		t.Errorf("ByID(1) = %q after the other pod gave the id up, want \"b\"", e.Name)
	}
	store.DeletePod(pod("2", podtest.Named("n1", "b")))
	if _, ok := store.Snapshot().ByID("2"); ok {
		t.Error("ByID(2) finds a deleted executor, want none")
	}
}

// Of several pods with one executor id, ByID returns the one that was created last, also if
// a scheduler replaces an executor within a second (kubernetes#141210).
func TestByIDOfPodsOfOneSecond(t *testing.T) {
	second := func(p *corev1.Pod) { p.CreationTimestamp = metav1.NewTime(time.Unix(1_700_000_000, 0)) }
	of := func(name, resourceVersion string, more ...func(*corev1.Pod)) *corev1.Pod {
		return pod("1", append([]func(*corev1.Pod){podtest.Named("jobs", name), uid(name), version(resourceVersion), second}, more...)...)
	}
	rejected := func(p *corev1.Pod) { phase(corev1.PodFailed)(p); status("OutOfcpu", "")(p) }
	update, replace := (*watchsource.Store).UpdatePod, func(s *watchsource.Store, pods ...*corev1.Pod) { s.ReplaceSnapshot(pods) }
	for _, test := range []struct {
		name string
		fill func(*watchsource.Store)
		want string
	}{
		{name: "the first has failed", want: "b", fill: func(s *watchsource.Store) {
			update(s, of("a", "1"))
			update(s, of("b", "2", phase(corev1.PodRunning)))
			update(s, of("a", "3", rejected))
		}},
		{name: "both have failed", want: "b", fill: func(s *watchsource.Store) {
			update(s, of("a", "1"))
			update(s, of("b", "2", rejected))
			update(s, of("a", "3", rejected))
		}},
		{name: "the first by its version, but not by its name", want: "a", fill: func(s *watchsource.Store) {
			update(s, of("b", "1", phase(corev1.PodRunning)))
			update(s, of("a", "2", rejected))
		}},
		{name: "after a list, which has newer versions", want: "b", fill: func(s *watchsource.Store) {
			update(s, of("a", "1"))
			update(s, of("b", "2"))
			replace(s, of("a", "9", rejected), of("b", "8", rejected))
		}},
		{name: "the same with other pods between them", want: "b", fill: func(s *watchsource.Store) {
			replace(s, of("a", "1"), pod("7", uid("7"), podtest.Named("jobs", "aa")), pod("8", uid("8"), podtest.Named("jobs", "c")))
			update(s, of("b", "2"))
			replace(s, pod("9", uid("9"), podtest.Named("jobs", "0")), of("a", "9", rejected), of("b", "8", rejected))
		}},
		{name: "after the id of one has changed", want: "b", fill: func(s *watchsource.Store) {
			update(s, of("a", "1", label(watchsource.LabelExecutorID, "5")))
			update(s, of("b", "2"))
			update(s, of("a", "3"))
		}},
		{name: "the first created again while nobody watched", want: "a", fill: func(s *watchsource.Store) {
			replace(s, of("a", "1"), of("b", "2"))
			replace(s, of("a", "9", rejected, uid("again")), of("b", "8", rejected))
		}},
		{name: "created a second later, but seen first", want: "b", fill: func(s *watchsource.Store) {
			update(s, of("b", "1", rejected, func(p *corev1.Pod) { p.CreationTimestamp = metav1.NewTime(time.Unix(1_700_000_001, 0)) }))
			update(s, of("a", "2"))
		}},
		{name: "one without a version", want: "a", fill: func(s *watchsource.Store) {
			update(s, of("a", ""))
			update(s, of("b", "2", rejected))
		}},
		{name: "without versions", want: "b", fill: func(s *watchsource.Store) {
			replace(s, of("a", "", rejected), of("b", ""))
		}},
		{name: "without versions, in the other order", want: "a", fill: func(s *watchsource.Store) {
			replace(s, of("a", ""), of("b", "", rejected))
		}},
	} {
		store := watchsource.NewStore()
		test.fill(store)
		if e, _ := store.Snapshot().ByID("1"); e.Name != test.want {
			t.Errorf("%s: ByID(1) = %s, want %s", test.name, e.Name, test.want)
		}
	}
}

// A pod without a UID, as client-go's fake clientset makes it, that was deleted and created
// again while nothing was watched is another pod (client-go#835).
func TestRecreatedPodWithoutUID(t *testing.T) {
	first := func(p *corev1.Pod) { p.CreationTimestamp = metav1.NewTime(time.Unix(1_600_000_000, 0)) }
	later := func(p *corev1.Pod) { p.CreationTimestamp = metav1.NewTime(time.Unix(1_700_000_000, 0)) }
	done := pod("1", first, phase(corev1.PodSucceeded), container(executorContainer, ended(0, "Completed")))
	for _, test := range []struct {
		name  string
		again *corev1.Pod
		want  string
		state watchsource.State
	}{
		{name: "pending", again: pod("1"), want: "exec-1 Succeeded>Deleted, exec-1 nothing>Pending", state: watchsource.Pending},
		{name: "running", again: pod("1", phase(corev1.PodRunning)), want: "exec-1 Succeeded>Deleted, exec-1 nothing>Running", state: watchsource.Running},
		{name: "running, with a status", again: pod("1", phase(corev1.PodRunning), container(executorContainer, running())),
			want: "exec-1 Succeeded>Deleted, exec-1 nothing>Running", state: watchsource.Running},
		{name: "ended in another way, created later", again: pod("1", later, phase(corev1.PodFailed), container(executorContainer, ended(1, "Error"))),
			want: "exec-1 Succeeded>Deleted, exec-1 nothing>Failed", state: watchsource.Failed},
		{name: "the same pod, without the time of its creation", again: pod("1", phase(corev1.PodSucceeded), container(executorContainer, ended(0, "Completed"))),
			want: "", state: watchsource.Succeeded},
		{name: "the same pod", again: done, want: "", state: watchsource.Succeeded},
		{name: "the same pod, which is deleted", again: pod("1", phase(corev1.PodSucceeded), deleting, container(executorContainer, ended(0, "Completed"))),
			want: "", state: watchsource.Succeeded},
		{name: "the same pod, started again", again: pod("1", phase(corev1.PodRunning), container(executorContainer, running()), lastEnd(0, "Completed", 1)),
			want: "exec-1 Succeeded>Running", state: watchsource.Running},
		{name: "the same pod, started again without a last state", again: pod("1", phase(corev1.PodRunning), mainStatus("", 1, running())),
			want: "exec-1 Succeeded>Running", state: watchsource.Running},
		{name: "the same pod, about to be started again", again: pod("1", phase(corev1.PodRunning), mainStatus("", 0, waiting("CrashLoopBackOff"), ended(0, "Completed"))),
			want: "exec-1 Succeeded>Running", state: watchsource.Running},
	} {
		for _, way := range []struct {
			name    string
			deliver func(*watchsource.Store, *corev1.Pod)
		}{
			{name: "update", deliver: (*watchsource.Store).UpdatePod},
			{name: "list", deliver: func(s *watchsource.Store, p *corev1.Pod) { s.ReplaceSnapshot([]*corev1.Pod{p}) }},
		} {
			store := watchsource.NewStore()
			way.deliver(store, done)
			reader := newBatchReader(t, store, 0)
			reader.next()
			way.deliver(store, test.again)
			store.UpdatePod(pod("2"))
			batch, _ := reader.next()
			changes := slices.DeleteFunc(batch.Changes, func(c watchsource.Change) bool {
				return c.After.Name != "exec-1" || test.want == "" && c.After.State == watchsource.Succeeded && !c.Ended
			})
			e, _ := store.Snapshot().Get("exec-1")
			if got := changeLines(changes); got != test.want || e.State != test.state || e.Problem != "" {
				t.Errorf("%s by %s: changes %q, then %v, problem %q; want %q, %v, none", test.name, way.name, got, e.State, e.Problem, test.want, test.state)
			}
		}
	}
}

// The deletion of the second pod of a name, of which the store knows the first only, shows the
// first as gone, in its own last state.
func TestDeletionOfARecreatedPodWithoutUID(t *testing.T) {
	store := watchsource.NewStore()
	store.UpdatePod(pod("1", phase(corev1.PodSucceeded), container(executorContainer, ended(0, "Completed"))))
	reader := newBatchReader(t, store, 0)
	reader.next()
	store.DeletePod(pod("1", phase(corev1.PodFailed), container(executorContainer, ended(3, "Error")), func(p *corev1.Pod) {
		p.CreationTimestamp = metav1.NewTime(time.Unix(1_700_000_000, 0))
	}))
	batch, _ := reader.next()
	if got := changeLines(batch.Changes); got != "exec-1 Succeeded>Deleted" || batch.Changes[0].After.ExitCode != 0 {
		t.Errorf("changes %q, want exec-1 Succeeded>Deleted with exit code 0", got)
	}
}

func TestZeroSnapshot(t *testing.T) {
	var s watchsource.Snapshot
	for range s.All() {
		t.Error("the zero Snapshot has an executor, want none")
	}
	_, named := s.Get("a")
	_, identified := s.ByID("1")
	if named || identified || s.Len() != 0 || s.Count(watchsource.Running) != 0 || s.Complete() || s.ResourceVersion() != "" || !s.SyncedAt().IsZero() {
		t.Error("the zero Snapshot is not empty, want no executor, version or time")
	}
	if s.Count(200) != 0 {
		t.Error("Count of an impossible state is not 0, want 0")
	}
}

// changeLines spells changes out: name, states, and whether the pod is new.
func changeLines(changes []watchsource.Change) string {
	var lines []string
	for _, c := range changes {
		before := "nothing"
		if c.Before != nil {
			before = c.Before.State.String()
		}
		lines = append(lines, fmt.Sprintf("%s %s>%v", c.After.Name, before, c.After.State))
	}
	return strings.Join(lines, ", ")
}

// next returns the changes of a batch that must be there, and false at the end.
type batchReader struct {
	next func() (watchsource.Batch, bool)
	stop func()
}

func (r batchReader) want(t *testing.T, want string) watchsource.Batch {
	t.Helper()
	batch, ok := r.next()
	if !ok {
		t.Fatal("the batches have ended, want another batch")
	}
	if got := changeLines(batch.Changes); got != want {
		t.Errorf("batch %q, want %q", got, want)
	}
	return batch
}

// A container that is started again ends again, even if no state showed that it ran.
func TestEndAfterEnd(t *testing.T) {
	endedAt := func(second int64, more ...func(*corev1.Pod)) *corev1.Pod {
		state := ended(1, "Error")
		state.Terminated.FinishedAt = metav1.NewTime(time.Unix(second, 0))
		return pod("1", append(more, uid("u"), phase(corev1.PodRunning), container(executorContainer, state))...)
	}
	for _, test := range []struct {
		name  string
		tell  func(*watchsource.Store)
		times []int64 // of the ends that are shown
	}{
		{name: "another end", tell: func(s *watchsource.Store) { s.UpdatePod(endedAt(2)) }, times: []int64{1, 2}},
		{name: "another end, after a list", tell: func(s *watchsource.Store) { s.ReplaceSnapshot([]*corev1.Pod{endedAt(2)}) }, times: []int64{1, 2}},
		{name: "another end, as the pod leaves", tell: func(s *watchsource.Store) { s.DeletePod(endedAt(2)) }, times: []int64{1, 2, 2}},
		{name: "the same end", tell: func(s *watchsource.Store) { s.UpdatePod(endedAt(1, deleting)) }, times: []int64{1}},
		{name: "the same end, as the pod leaves", tell: func(s *watchsource.Store) { s.DeletePod(endedAt(1, deleting)) }, times: []int64{1, 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			store := watchsource.NewStore()
			reader := newBatchReader(t, store, 0)
			reader.next()
			store.UpdatePod(endedAt(1))
			test.tell(store)
			var times []int64
			batch, _ := reader.next()
			for _, c := range batch.Changes {
				times = append(times, c.After.FinishedAt.Unix())
			}
			if !slices.Equal(times, test.times) {
				t.Errorf("shown the ends of seconds %v, want %v", times, test.times)
			}
		})
	}
}

func TestBatchesMerge(t *testing.T) {
	store := watchsource.NewStore()
	store.UpdatePod(pod("0", uid("0"), phase(corev1.PodRunning)))
	r := newBatchReader(t, store, 0)
	r.want(t, "exec-0 nothing>Running")

	// Merged: changes of one pod that are no end.
	store.UpdatePod(pod("1", uid("1")))
	store.UpdatePod(pod("2", uid("2")))
	store.UpdatePod(pod("1", uid("1"), phase(corev1.PodRunning)))
	r.want(t, "exec-1 nothing>Running, exec-2 nothing>Pending")

	// Not merged: an end and the changes after it.
	store.UpdatePod(pod("1", uid("1"), phase(corev1.PodFailed)))
	store.UpdatePod(pod("1", uid("1"), phase(corev1.PodFailed), deleting))
	store.DeletePod(pod("1", uid("1"), phase(corev1.PodFailed), deleting))
	r.want(t, "exec-1 Running>Failed, exec-1 Failed>Deleted")

	// Not lost: an executor that came and went.
	store.UpdatePod(pod("3", uid("3")))
	store.DeletePod(pod("3", uid("3")))
	r.want(t, "exec-3 nothing>Deleted")

	// One name, two pods in turn, even if the first was never reported gone.
	store.DeletePod(pod("2", uid("2")))
	store.UpdatePod(pod("2", uid("2b"), phase(corev1.PodRunning)))
	store.UpdatePod(pod("0", uid("0b")))
	r.want(t, "exec-2 Pending>Deleted, exec-2 nothing>Running, exec-0 Running>Deleted, exec-0 nothing>Pending")

	// The same without UIDs, as with fakes.
	store.UpdatePod(pod("4"))
	store.DeletePod(pod("4"))
	store.UpdatePod(pod("4", phase(corev1.PodRunning)))
	r.want(t, "exec-4 nothing>Deleted, exec-4 nothing>Running")

	// An end that only the last state shows.
	store.DeletePod(pod("2", uid("2b"), phase(corev1.PodFailed)))
	r.want(t, "exec-2 Running>Failed, exec-2 Failed>Deleted")

	// What a full list brings: the vanished first, the unchanged not at all.
	store.UpdatePod(pod("5", uid("5"), version("1"), phase(corev1.PodRunning)))
	store.UpdatePod(pod("6", uid("6"), version("2")))
	r.want(t, "exec-5 nothing>Running, exec-6 nothing>Pending")
	store.ReplaceSnapshot([]*corev1.Pod{pod("5", uid("5"), version("1"), phase(corev1.PodRunning)), pod("6", uid("6b"), version("3"))})
	r.want(t, "exec-0 Pending>Deleted, exec-4 Running>Deleted, exec-6 Pending>Deleted, exec-6 nothing>Pending")

	// What the store has never heard of cannot leave it.
	store.DeletePod(pod("77", uid("77")))
	store.DeletePod(pod("5", uid("another life")))
	store.UpdatePod(pod("8", uid("8")))
	r.want(t, "exec-8 nothing>Pending")
}

func TestBatchesKeepTheirInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := watchsource.NewStore()
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		var log []string
		var reader sync.WaitGroup
		reader.Go(func() {
			for batch := range store.Batches(ctx, 10*time.Second) {
				log = append(log, fmt.Sprintf("%v %s", time.Since(began), changeLines(batch.Changes)))
			}
		})
		time.Sleep(3 * time.Second)
		store.UpdatePod(pod("1"))
		time.Sleep(3 * time.Second)
		store.UpdatePod(pod("1", phase(corev1.PodRunning)))
		time.Sleep(28 * time.Second) // the time is 34 s: two batches were empty and did not come
		store.UpdatePod(pod("2"))
		time.Sleep(time.Second)
		store.UpdatePod(pod("3"))
		time.Sleep(time.Minute)
		cancel()
		reader.Wait()
		want := []string{"0s ", "10s exec-1 nothing>Running", "34s exec-2 nothing>Pending", "44s exec-3 nothing>Pending"}
		if !slices.Equal(log, want) {
			t.Errorf("batches\n%s\nwant\n%s", strings.Join(log, "\n"), strings.Join(want, "\n"))
		}
	})
}

func TestBatchesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := watchsource.NewStore()
		ctx, cancel := context.WithCancel(t.Context())
		var readers sync.WaitGroup
		for _, interval := range []time.Duration{0, time.Hour} {
			readers.Go(func() {
				for range store.Batches(ctx, interval) {
				}
			})
		}
		synctest.Wait()
		cancel()
		readers.Wait() // a reader that stayed would fail the bubble
		for range store.Batches(ctx, 0) {
			t.Error("a batch although the context has ended, want none")
		}
		for range store.Batches(t.Context(), 0) {
			break
		}
	})
}

// Random calls of a store, with readers that come, lag and leave. Each batch must lead
// from the reader's last snapshot to the new one, with every end and every deletion in it.
// After a dropped backlog the batch must have everything present, and count the executors
// that left.
func TestStoreEqualsModel(t *testing.T) {
	r := random(t)
	for i := range 300 {
		limit := 0
		if i%3 == 0 {
			limit = 1 + r.IntN(20)
		}
		m := newModel(t, limit)
		for range 300 {
			m.step(r)
		}
		m.check()
	}
}

// model is a store with its expected contents, and readers that check their batches.
type model struct {
	t       *testing.T
	limit   int // of the backlogs
	store   *watchsource.Store
	pods    map[string]*corev1.Pod
	version int
	readers []*modelReader
}

// modelReader rebuilds the view from changes alone.
type modelReader struct {
	batchReader
	view map[string]watchsource.State // by UID
	ends map[string]int               // by UID, since it came
	gone map[string]int
	owed struct{ ends, gone map[string]bool }

	batches, missed int
}

func newModel(t *testing.T, limit int) *model {
	return &model{t: t, limit: limit, store: watchsource.NewStore(watchsource.WithBacklogLimit(limit)), pods: map[string]*corev1.Pod{}}
}

var modelPhases = []corev1.PodPhase{corev1.PodPending, corev1.PodRunning, corev1.PodSucceeded, corev1.PodFailed}

func (m *model) step(r *rand.Rand) {
	m.version++
	id := fmt.Sprint(r.IntN(12))
	known := m.pods["exec-"+id]
	switch n := r.IntN(20); {
	case n == 0:
		m.replace(r)
	case n == 1 && len(m.readers) < 4:
		reader := &modelReader{batchReader: newBatchReader(m.t, m.store, 0), view: map[string]watchsource.State{}, ends: map[string]int{}, gone: map[string]int{}}
		reader.owed.ends, reader.owed.gone = map[string]bool{}, map[string]bool{}
		m.readers = append(m.readers, reader)
		m.read(reader)
	case n == 2 && len(m.readers) > 1:
		m.readers[0].stop()
		m.readers = m.readers[1:]
	case n < 6 && len(m.readers) > 0:
		m.update(pod("100", uid(fmt.Sprint("u", m.version)))) // so that there is something to read
		m.read(m.readers[r.IntN(len(m.readers))])
	case n < 9 && known != nil:
		m.leave(known)
		m.store.DeletePod(m.stamped(known))
		delete(m.pods, known.Name)
	case known != nil && modelEnded(known):
		// An end is final; the pod may only be asked to go.
		m.update(m.stamped(known))
	case known != nil:
		next := m.stamped(known)
		next.Status.Phase = modelPhases[r.IntN(len(modelPhases))]
		m.update(next)
	default:
		m.update(pod(id, uid(fmt.Sprint("u", m.version)), phase(modelPhases[r.IntN(2)])))
	}
}

func modelEnded(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded
}

func (m *model) stamped(p *corev1.Pod) *corev1.Pod {
	next := p.DeepCopy()
	next.ResourceVersion = fmt.Sprint(m.version)
	return next
}

func (m *model) update(p *corev1.Pod) {
	p = m.stamped(p)
	if known := m.pods[p.Name]; known != nil && known.UID != p.UID {
		m.leave(known)
	}
	m.enter(p)
	m.pods[p.Name] = p
	m.store.UpdatePod(p)
}

func (m *model) replace(r *rand.Rand) {
	var list []*corev1.Pod
	for name, p := range m.pods {
		switch r.IntN(4) {
		case 0:
			m.leave(p)
			delete(m.pods, name)
			continue
		case 1:
			if !modelEnded(p) {
				p = m.stamped(p)
				p.Status.Phase = modelPhases[r.IntN(len(modelPhases))]
				m.enter(p)
				m.pods[name] = p
			}
		}
		list = append(list, p)
	}
	m.store.ReplaceSnapshot(list)
}

// enter and leave note what every reader is owed.

func (m *model) enter(p *corev1.Pod) {
	for _, r := range m.readers {
		if modelEnded(p) {
			r.owed.ends[string(p.UID)] = true
		}
	}
}

func (m *model) leave(p *corev1.Pod) {
	for _, r := range m.readers {
		r.owed.gone[string(p.UID)] = true
	}
}

// read takes one batch, and checks that it leads to the snapshot beside it.
func (m *model) read(r *modelReader) {
	m.t.Helper()
	batch, ok := r.next()
	if !ok {
		m.t.Fatal("the batches have ended, want another batch")
	}
	if r.batches++; batch.Full {
		if r.batches > 1 && m.limit == 0 {
			m.t.Fatal("a backlog was given up, want it kept without a limit")
		}
		clear(r.view)
		r.missed += batch.Missed
	} else if m.limit > 0 && len(batch.Changes) > m.limit {
		m.t.Fatalf("a backlog of %d changes, want at most %d", len(batch.Changes), m.limit)
	}
	for _, c := range batch.Changes {
		key := string(c.After.UID)
		before, known := r.view[key]
		if known != (c.Before != nil) || known && before != c.Before.State {
			m.t.Fatalf("a change of %s from %v, want it from what the reader was shown: %v %v", key, c.Before, known, before)
		}
		if c.After.State.Ended() && !before.Ended() && !(batch.Full && r.ends[key] > 0) {
			r.ends[key]++
		}
		if c.After.State == watchsource.Deleted {
			r.gone[key]++
			delete(r.view, key)
		} else {
			r.view[key] = c.After.State
		}
	}
	if len(r.view) != batch.Snapshot.Len() {
		m.t.Fatalf("the changes lead to %d executors, want the %d of the snapshot", len(r.view), batch.Snapshot.Len())
	}
	for e := range batch.Snapshot.All() {
		if r.view[string(e.UID)] != e.State {
			m.t.Fatalf("the changes lead to %v for %s, want %v as in the snapshot", r.view[string(e.UID)], e.Name, e.State)
		}
	}
}

func (m *model) check() {
	m.t.Helper()
	m.version++
	m.update(pod("100", uid("end")))
	snapshot := m.store.Snapshot()
	if snapshot.Len() != len(m.pods) {
		m.t.Fatalf("%d executors, want %d", snapshot.Len(), len(m.pods))
	}
	for name, p := range m.pods {
		if e, ok := snapshot.Get(name); !ok || !podtest.Equal(keptPod(m.t, e), p) {
			m.t.Fatalf("Get(%s) = %v, %+v, want the newest pod", name, ok, e)
		}
	}
	for _, r := range m.readers {
		m.read(r)
		r.stop()
		unseen := 0
		for key := range r.owed.gone {
			if m.limit > 0 && r.gone[key] == 0 {
				unseen++
			} else if r.gone[key] != 1 {
				m.t.Fatalf("a reader was shown %d deletions of %s, want 1", r.gone[key], key)
			}
		}
		if unseen != r.missed {
			m.t.Fatalf("%d executors left without being shown, want the %d that Missed counts", unseen, r.missed)
		}
		for key := range r.owed.ends {
			if m.limit > 0 && r.ends[key] == 0 && r.owed.gone[key] && r.gone[key] == 0 {
				continue // missed
			}
			if r.ends[key] != 1 {
				m.t.Fatalf("a reader was shown %d ends of %s, want 1", r.ends[key], key)
			}
		}
	}
}

// Readers and a writer at once, for the race detector.
func TestStoreUnderConcurrency(t *testing.T) {
	store := watchsource.NewStore()
	ctx, cancel := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for i := range 4 {
		readers.Go(func() {
			for batch := range store.Batches(ctx, time.Duration(i)) {
				for e := range batch.Snapshot.All() {
					if got, ok := batch.Snapshot.ByID(e.ID); !ok || got.Name != e.Name {
						t.Errorf("ByID(%s) = %v, want the executor of the snapshot", e.ID, ok)
					}
				}
			}
		})
		readers.Go(func() {
			_, err := store.WaitFor(ctx, func(s watchsource.Snapshot) bool { return s.Len() == i && s.Count(watchsource.Failed) == 1000 })
			if !errors.Is(err, context.Canceled) {
				t.Errorf("WaitFor = %v", err)
			}
		})
	}
	for i := range 5000 {
		store.UpdatePod(pod(fmt.Sprint(i%50), uid(fmt.Sprint(i%50)), version(fmt.Sprint(i+1)), phase(corev1.PodRunning)))
		if i%7 == 0 {
			store.DeletePod(pod(fmt.Sprint(i%50), uid(fmt.Sprint(i%50))))
		}
	}
	cancel()
	readers.Wait()
}

func TestLatest(t *testing.T) {
	store := watchsource.NewStore()
	_, changed := store.Latest()
	_, again := store.Latest()
	if changed != again {
		t.Error("Latest returned two channels for one version, want the same")
	}
	select {
	case <-changed:
		t.Error("the channel is closed, want it open until there is a newer snapshot")
	default:
	}
	store.UpdatePod(pod("1"))
	<-changed
	snapshot, changed := store.Latest()
	if snapshot.Len() != 1 {
		t.Errorf("%d executors, want 1", snapshot.Len())
	}
	select {
	case <-changed:
		t.Error("the channel of the newest snapshot is closed, want it open")
	default:
	}
}

func TestWaitFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := watchsource.NewStore()
		go func() {
			for i := range 5 {
				time.Sleep(time.Second)
				store.UpdatePod(pod(fmt.Sprint(i), version(fmt.Sprint(10+i))))
			}
			time.Sleep(time.Second)
			store.ObserveResourceVersion("20") // a bookmark
		}()
		snapshot, err := store.WaitFor(t.Context(), func(s watchsource.Snapshot) bool { return s.Len() >= 3 })
		if err != nil || snapshot.Len() != 3 {
			t.Errorf("WaitFor = %d executors, %v", snapshot.Len(), err)
		}
		if snapshot, err = store.WaitForResourceVersion(t.Context(), "14"); err != nil || snapshot.Len() != 5 {
			t.Errorf("WaitForResourceVersion = %d executors, %v", snapshot.Len(), err)
		}
		if _, err = store.WaitForResourceVersion(t.Context(), "19"); err != nil {
			t.Errorf("WaitForResourceVersion with a bookmark = %v", err)
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		snapshot, err = store.WaitFor(ctx, func(watchsource.Snapshot) bool { return false })
		if !errors.Is(err, context.DeadlineExceeded) || !strings.HasPrefix(err.Error(), "watchsource: ") || snapshot.Len() != 5 {
			t.Errorf("WaitFor = %d executors, %v", snapshot.Len(), err)
		}
		for _, version := range []string{"", "0", "v1"} {
			if _, err := store.WaitForResourceVersion(t.Context(), version); err == nil {
				t.Errorf("WaitForResourceVersion(%q) returned nil, want an error", version)
			}
		}
	})
}

// Waiting ends with the source, because nothing will come any more, and goes on
// after the next Start.
func TestWaitForEndsWithTheSource(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		server := watchtest.NewServer()
		store := watchsource.NewStore()
		source := newSource(store, server.Client())
		three := func(s watchsource.Snapshot) bool { return s.Len() == 3 }
		var waiting sync.WaitGroup
		wait := func(want error) {
			waiting.Go(func() {
				if _, err := store.WaitFor(t.Context(), three); !errors.Is(err, want) {
					t.Errorf("WaitFor = %v, want %v", err, want)
				}
			})
			synctest.Wait()
		}
		wait(watchsource.ErrStopped) // since before Start
		start(t, source, "app")
		server.Create(pod("1"))
		wait(watchsource.ErrStopped)
		source.Stop()
		waiting.Wait()

		snapshot, err := store.WaitForResourceVersion(t.Context(), "9999999")
		if !errors.Is(err, watchsource.ErrStopped) || snapshot.Len() != 1 {
			t.Errorf("after Stop: %d executors, %v", snapshot.Len(), err)
		}
		if _, err := store.WaitFor(t.Context(), func(s watchsource.Snapshot) bool { return s.Len() == 1 }); err != nil {
			t.Errorf("after Stop, for what is there: %v", err)
		}
		start(t, source, "app")
		wait(nil)
		server.Create(pod("2"))
		server.Create(pod("3"))
		waiting.Wait()
		source.Stop()
	})
}

func TestSnapshotContains(t *testing.T) {
	store := watchsource.NewStore()
	if store.Snapshot().Contains("1") {
		t.Error("an empty snapshot contains version 1, want none")
	}
	store.UpdatePod(pod("1", version("99")))
	for version, want := range map[string]bool{"98": true, "99": true, "100": false, "": false, "x": false, "0": false} {
		if got := store.Snapshot().Contains(version); got != want {
			t.Errorf("Contains(%q) = %v at version 99, want %v", version, got, want)
		}
	}
}

func TestStateString(t *testing.T) {
	if got := fmt.Sprint(watchsource.Unknown, watchsource.Deleted, watchsource.State(77), watchsource.Retrying, watchsource.Phase(9)); got != "Unknown Deleted State(77) Retrying Phase(9)" {
		t.Error(got)
	}
}

func newBatchReader(t *testing.T, store *watchsource.Store, interval time.Duration) batchReader {
	next, stop := iter.Pull(store.Batches(t.Context(), interval))
	t.Cleanup(stop)
	return batchReader{next: next, stop: stop}
}
