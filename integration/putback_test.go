// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/integration/cluster"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// afterRefusal is how long a view may stay wrong after an API server that runs on has ended or
// refused the first watch.
const afterRefusal = 5 * time.Second

// noLimit is for an API server that was stopped: how long it is away decides.
const noLimit = time.Duration(math.MaxInt64)

// lostVersions is by how many changes the new history is behind. A replica of PostgreSQL skips up
// to 32 numbers when it is promoted.
const lostVersions = 300

// Guarantees 1, 2 and 4: an operator stops the API server, restores its store from a backup and
// starts it. The executors that were created since do not exist any more.
func TestRestoreFromABackup(t *testing.T) {
	testOlderState(t, (*cluster.Backup).Restore, noLimit)
}

// The same under an API server that runs on, as when the database of k3s fails over to a replica that
// has fallen behind. The API server ends its watches, refuses requests with 429 for a moment and
// accepts a watch at a version that it has not reached yet.
func TestOlderStateUnderTheServer(t *testing.T) {
	if server.Store() == cluster.Etcd {
		t.Skip("with etcd an operator restarts the API servers (TestRestoreFromABackup): only with -store=kine-sqlite or -store=kine-postgres")
	}
	testOlderState(t, (*cluster.Backup).PutBack, afterRefusal)
}

func testOlderState(t *testing.T, putBack func(*cluster.Backup, context.Context) error, limit time.Duration) {
	t.Helper()
	client := admin(t)
	s := newPastState(t, client)
	backup, err := server.Backup(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.goOn(t)
	for _, w := range s.witnesses {
		w.mustAgree(t, client, "before the store is put back")
		w.beginCounting()
	}
	if err := putBack(backup, t.Context()); err != nil {
		t.Fatal(err)
	}
	s.awaitServer(t)
	s.check(t, limit)
}

// A pastState is an application whose executors change after the backup was made.
type pastState struct {
	client    kubernetes.Interface
	namespace string
	witnesses []*witness

	ended   *corev1.Pod   // before the backup
	deleted *corev1.Pod   // after it, so it comes back
	lost    []*corev1.Pod // created after it, the first has ended
}

func newPastState(t *testing.T, client kubernetes.Interface) *pastState {
	t.Helper()
	s := &pastState{client: client, namespace: newNamespace(t, client)}
	pods := create(t, client, executorPod(s.namespace, appID, 0), executorPod(s.namespace, appID, 1), executorPod(s.namespace, appID, 2))
	s.ended, s.deleted = pods[0], pods[1]
	fail(t, client, s.ended)
	for _, how := range []struct {
		name     string
		config   *rest.Config
		consumer func(*testing.T, string, *rest.Config, string, ...watchsource.Option) *consumer
	}{
		{"protobuf", speaking(server.Config(), asProtobuf), newConsumer},
		{"JSON", speaking(server.Config(), asJSON), newConsumer},
		{"plain lists", altered(server.Config(), refusingStreamedLists), newConsumer},
		{"shared watch", server.Config(), newSharedConsumer},
	} {
		w := &witness{ends: map[types.UID]int{}, gone: map[types.UID]int{}}
		w.consumer = how.consumer(t, how.name, how.config, s.namespace, watchsource.WithObserver(w.observe))
		w.read(t)
		t.Cleanup(func() {
			status := w.source.Status()
			t.Logf("%-14s %s; %d relists, %d resumes, %d errors", w.name, strings.Join(w.story(), ", "), status.Relists, status.Resumes, status.Errors)
		})
		s.witnesses = append(s.witnesses, w)
	}
	return s
}

// goOn is the history that will be lost.
func (s *pastState) goOn(t *testing.T) {
	t.Helper()
	remove(t, s.client, byForce, s.deleted)
	var pods []*corev1.Pod
	for id := range 12 {
		pods = append(pods, executorPod(s.namespace, appID, 10+id))
	}
	s.lost = create(t, s.client, pods...)
	fail(t, s.client, s.lost[0])
	inParallel(t, lostVersions, func(i int) error {
		_, err := s.client.CoreV1().Pods(s.namespace).Patch(t.Context(), s.lost[1+i%11].Name, types.MergePatchType,
			fmt.Appendf(nil, `{"metadata":{"annotations":{"touched":"%d"}}}`, i), metav1.PatchOptions{})
		return err
	})
}

// awaitServer returns when the watch cache of the API server has the older state. Until then a list
// without a version may have either state.
func (s *pastState) awaitServer(t *testing.T) {
	t.Helper()
	eventually(t, "the API server lists the older state", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		list, err := s.client.CoreV1().Pods(s.namespace).List(ctx, metav1.ListOptions{ResourceVersion: "0"})
		return err == nil && len(list.Items) == 3
	})
}

func (s *pastState) check(t *testing.T, limit time.Duration) {
	t.Helper()
	for _, w := range s.witnesses {
		w.mustAgree(t, s.client, "after the store was put back")
	}
	fail(t, s.client, s.deleted) // so that each reader is shown all that came before
	for _, w := range s.witnesses {
		w.mustAgree(t, s.client, "at the end")
		w.waitForEnd(t, s.deleted.UID)
		if took := w.took(t, len(s.lost)); took > limit {
			t.Errorf("%s: the view was right %v after the first watch was ended or refused, want %v", w.name, took, limit)
		}
		w.count(t, "executor that ended before the backup", s.ended, 1, 0)
		w.count(t, "executor that was deleted and came back", s.deleted, 1, 1)
		w.count(t, "executor that ended after the backup", s.lost[0], 1, 1)
		for _, pod := range s.lost[1:] {
			w.count(t, "executor that was created after the backup", pod, 0, 1)
		}
	}
}

// A witness is a consumer that notes when it observed what, and what a reader was shown.
type witness struct {
	*consumer

	mu         sync.Mutex
	counting   bool      // the store is put back
	began      time.Time // when the first watch was ended or refused
	corrected  time.Time // when the reader was shown that the last executor is gone
	lost       int       // executors that have left since the store was put back
	steps      []string
	ends, gone map[types.UID]int
}

// observe notes how watches end, begin and are refused.
func (w *witness) observe(o watchsource.Observation) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if o.Kind == watchsource.Received || !w.counting {
		return
	}
	if w.began.IsZero() {
		w.began = time.Now()
	}
	step := fmt.Sprintf("%.2f %v at %s", time.Since(w.began).Seconds(), o.Kind, cmp.Or(o.ResourceVersion, "-"))
	if o.Err != nil {
		step += fmt.Sprintf(" (%v)", o.Err)
	}
	w.steps = append(w.steps, step)
}

// beginCounting is called before the store is put back.
func (w *witness) beginCounting() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counting = true
}

func (w *witness) story() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.steps
}

// read counts the ends and the departures that a reader is shown until the test ends.
func (w *witness) read(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var reading sync.WaitGroup
	reading.Go(func() {
		for batch := range w.store.Batches(ctx, 0) {
			w.enter(batch)
		}
	})
	t.Cleanup(func() {
		cancel()
		reading.Wait()
	})
}

func (w *witness) enter(batch watchsource.Batch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range batch.Changes {
		if c.Ended {
			w.ends[c.After.UID]++
		}
		if c.After.State != watchsource.Deleted {
			continue
		}
		w.gone[c.After.UID]++
		if w.counting {
			w.lost++
			w.corrected = time.Now()
		}
	}
}

// waitForEnd waits until the reader was shown the end of an executor.
func (w *witness) waitForEnd(t *testing.T, uid types.UID) {
	t.Helper()
	eventually(t, w.name+": a reader is shown the end", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.ends[uid] > 0
	})
}

// took is how long it took until the reader was shown that n executors are gone.
func (w *witness) took(t *testing.T, n int) time.Duration {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lost != n {
		t.Errorf("%s: a reader was shown that %d executors left, want %d", w.name, w.lost, n)
	}
	return w.corrected.Sub(w.began)
}

func (w *witness) count(t *testing.T, what string, pod *corev1.Pod, ends, gone int) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ends[pod.UID] != ends || w.gone[pod.UID] != gone {
		t.Errorf("%s: a reader was shown %d ends and %d departures of the %s, want %d and %d",
			w.name, w.ends[pod.UID], w.gone[pod.UID], what, ends, gone)
	}
}
