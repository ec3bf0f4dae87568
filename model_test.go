// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"flag"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/watchtest"
)

var schedules = flag.Int("schedules", 1000, "how many random schedules the model test runs")

// Random changes of pods under random faults. The store receives exactly the states of
// the API server, none twice and none backwards. Readers are shown every end and every
// deletion once. No list is fetched without need. A schedule is a random history of pods
// and faults, made from a seed.
//
// The source draws the times of its watches and pauses by itself, so that a
// replay has the same history and the same faults, but not the same
// milliseconds. If a failure does not come back with -seed, -count will help.
func TestAnyHistoryUnderAnyFaults(t *testing.T) {
	first, n := *seed, 1
	if first == 0 {
		first, n = rand.Uint64(), *schedules
		if testing.Short() {
			n = min(n, 100)
		}
	}
	var sum tally
	for i := range n {
		synctest.Test(t, func(t *testing.T) {
			s := newSchedule(t, first+uint64(i), &sum)
			defer func() {
				if t.Failed() { // after which synctest.Test does not return
					t.Logf("schedule %d of %d: replay with -seed=%d", i+1, n, s.seed)
				}
			}()
			s.run()
		})
	}
	t.Logf("%d schedules from seed %d: %+v", n, first, sum)
	if n >= 500 {
		sum.check(t)
	}
}

// tally tells whether the schedules have met what they are for.
type tally struct {
	Events, Batches, Resumes, Relists, Stalls, Errors, FailedStarts, Stops, Restores int
}

func (s *tally) check(t *testing.T) {
	for _, n := range []int{s.Events, s.Batches, s.Resumes, s.Relists, s.Stalls, s.Errors, s.FailedStarts, s.Stops, s.Restores} {
		if n < 20 {
			t.Errorf("the schedules are too tame: %+v", *s)
		}
	}
}

// schedule is one run of the test.
type schedule struct {
	t       *testing.T
	seed    uint64
	random  *rand.Rand
	sum     *tally
	trace   *trace
	server  *watchtest.Server
	history *history
	faults  *faults
	wire    *wire
	store   *witness
	source  *watchsource.WatchSnapshotSource
	running bool
	relists int // in the sessions that have ended
	readers []*listener
	done    sync.WaitGroup
}

func newSchedule(t *testing.T, seed uint64, sum *tally) *schedule {
	r := rand.New(rand.NewPCG(seed, 0))
	trace := &trace{began: time.Now()}
	transportOnly := r.IntN(3) == 0
	server := watchtest.NewServer(serverOptions(r, transportOnly)...)
	trimmed, json, namespace := r.IntN(4) == 0, r.IntN(3) == 0, []string{"", "jobs"}[r.IntN(2)]
	s := &schedule{
		t: t, seed: seed, random: r, sum: sum, trace: trace, server: server,
		history: &history{
			server: server, random: r, namespace: namespace, trace: trace,
			selector: selectorOf(t, executors), pods: map[types.NamespacedName]*corev1.Pod{},
		},
	}
	s.history.restores = !transportOnly && r.IntN(3) == 0
	s.store = newWitness(s.fail, s.history, trimmed)
	s.wire = &wire{trace: trace, told: s.store.observedVersion}
	s.faults = &faults{history: s.history, json: json, transportOnly: transportOnly}
	options := []watchsource.Option{watchsource.WithNamespace(namespace), watchsource.WithLogger(logr.Discard())}
	if trimmed {
		options = append(options, watchsource.WithTrimmedPods())
	}
	s.source = watchsource.NewWatchSnapshotSource(s.store, s.client(json), options...)
	trace.add("JSON %v, trimmed %v, namespace %q, transport faults only %v", json, trimmed, namespace, transportOnly)
	return s
}

func serverOptions(r *rand.Rand, transportOnly bool) []watchtest.Option {
	var options []watchtest.Option
	switch r.IntN(5) {
	case 0:
		options = append(options, watchtest.WithBookmarkInterval(0))
	case 1:
		options = append(options, watchtest.WithBookmarkInterval(7*time.Second))
	}
	if r.IntN(4) == 0 {
		options = append(options, watchtest.WithoutStreamingLists())
	}
	if r.IntN(3) == 0 {
		options = append(options, watchtest.WithExpiredAtConnect())
	}
	if n := r.IntN(20); n > 15 && !transportOnly {
		options = append(options, watchtest.WithHistory(n-15))
	}
	return options
}

// client is one of the server whose answers the test reads along.
func (s *schedule) client(json bool) kubernetes.Interface {
	config := s.server.Config()
	if json {
		config.AcceptContentTypes, config.ContentType = "application/json", "application/json"
	}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		s.wire.next = next
		return s.wire
	})
	client, err := kubernetes.NewForConfig(config)
	must(s.t, err)
	return client
}

func (s *schedule) fail(format string, args ...any) {
	s.t.Helper()
	s.trace.add("FAILED: "+format, args...)
	s.t.Errorf("seed %d: "+format, append([]any{s.seed}, args...)...)
}

func (s *schedule) run() {
	defer s.logTrace()
	for range s.random.IntN(8) {
		s.history.act()
	}
	s.join()
	if s.random.IntN(4) == 0 {
		s.faults.begin()
	}
	s.start()
	for range 15 + s.random.IntN(30) {
		s.act()
	}
	s.recover()
	s.compare()
	s.end()
}

func (s *schedule) logTrace() {
	if s.t.Failed() {
		s.t.Logf("seed %d:\n%v", s.seed, s.trace)
	}
}

// act performs one random step. Its random draws must not depend on the source, or else a
// seed would not always give the same schedule.
func (s *schedule) act() {
	switch s.random.IntN(20) {
	case 0, 1, 2, 3, 4, 5, 6, 7:
		s.history.act()
	case 8, 9:
		s.faults.strike()
	case 10, 11:
		s.faults.begin()
	case 12:
		s.faults.liftOne()
	case 13:
		if s.random.IntN(2) == 0 {
			s.join()
		} else {
			s.leave()
		}
	case 14:
		s.startOrStop()
	case 15, 16:
		s.backUpOrPutBack()
	default:
		s.pass()
	}
}

// backUpOrPutBack backs the server up, and restores it later. Events on their way arrive
// before the restore or are lost.
func (s *schedule) backUpOrPutBack() {
	h := s.history
	switch {
	case !h.restores:
		s.pass()
	case h.backup == nil:
		h.backUp()
	case h.backup.restore != nil:
		s.faults.liftAll()
		synctest.Wait()
		h.putBack()
		s.faults.mute = true // a watch from a version to come is silent
		s.sum.Restores++
	}
}

// pass lets time pass.
func (s *schedule) pass() {
	pauses := []time.Duration{0, 10 * time.Millisecond, 700 * time.Millisecond, 3 * time.Second, 10 * time.Second, 40 * time.Second, 3 * time.Minute}
	d := pauses[s.random.IntN(len(pauses))]
	if s.random.IntN(30) == 0 {
		d = 11 * time.Minute
	}
	if d == 0 {
		synctest.Wait()
		return
	}
	s.trace.add("%v pass", d)
	time.Sleep(d)
}

func (s *schedule) start() {
	told := s.store.calls()
	err := s.source.Start("app")
	s.trace.add("Start = %v", err)
	s.running = err == nil
	switch {
	case err == nil:
	case len(s.faults.lifts) == 0:
		s.fail("Start = %v, without a fault", err)
	default:
		s.sum.FailedStarts++
		if n := s.store.calls() - told; n > 0 {
			s.fail("Start failed after %d calls of the store", n)
		}
		s.nothingIsOpen()
	}
}

// stop must be quick and final in whatever state the source is.
func (s *schedule) stop() {
	began := time.Now()
	s.source.Stop()
	if took := time.Since(began); took > time.Second {
		s.fail("Stop took %v", took)
	}
	s.trace.add("stopped")
	s.store.seal()
	s.running = false
	s.account()
	s.nothingIsOpen()
}

func (s *schedule) startOrStop() {
	if s.running {
		s.stop()
		return
	}
	s.store.unseal()
	s.start()
}

func (s *schedule) nothingIsOpen() {
	synctest.Wait()
	if n := len(s.server.Streams()); n > 0 {
		s.fail("%d streams left open", n)
	}
}

// account checks that no list was fetched without need: guarantee 5.
func (s *schedule) account() {
	status := s.source.Status()
	s.relists += status.Relists
	s.sum.Resumes += status.Resumes
	s.sum.Relists += status.Relists
	s.sum.Stalls += status.Stalls
	s.sum.Errors += status.Errors
	s.sum.Stops++
	allowed := s.wire.listsOwed() + s.faults.older
	if s.history.restored() {
		allowed += 2 // the second where the first was asked for before the restore
	}
	if s.relists > allowed {
		s.fail("%d relists where %d were needed", s.relists, allowed)
	}
	if s.faults.transportOnly && s.wire.versionsLost() > 0 {
		s.fail("a schedule of transport faults had a version that was lost")
	}
}

// recover lifts all faults and gives the source the time that it may need.
func (s *schedule) recover() {
	s.faults.liftAll()
	if !s.running {
		s.store.unseal()
		s.start()
	}
	within := 2 * time.Minute
	if s.faults.mute {
		within = 15 * time.Minute
	}
	s.trace.add("all faults lifted, %v to recover", within)
	time.Sleep(within)
	synctest.Wait()
	if s.source.Status().Phase != watchsource.Watching {
		// A stream that was open when the faults were lifted may end by one still,
		// and the server ask for a pause. The next stream is free of them.
		const longestPause = 45 * time.Second
		time.Sleep(longestPause)
		synctest.Wait()
	}
}

// compare checks that all is well again.
func (s *schedule) compare() {
	if status := s.source.Status(); status.Phase != watchsource.Watching {
		s.fail("still %v: %v", status.Phase, status.Err)
	}
	s.store.compareToList()
}

func (s *schedule) end() {
	time.Sleep(2 * longestInterval)
	synctest.Wait()
	for _, r := range s.readers {
		r.compare(s.store)
		s.sum.Batches += r.batches
		r.cancel()
	}
	if s.running {
		s.stop()
	}
	s.sum.Events += s.store.calls()
	s.done.Wait()
}

// join lets a reader come. Nothing else happens meanwhile, so it is known what
// the reader is owed from then on.
func (s *schedule) join() {
	r := newListener(s.t.Context(), s.fail, s.random)
	synctest.Wait()
	r.from, r.owed = s.store.position()
	s.trace.add("a reader joins, every %v", r.interval)
	s.done.Go(func() { r.follow(s.store.inner) })
	s.done.Go(func() { r.look(s.store.inner) })
	synctest.Wait()
	s.readers = append(s.readers, r)
}

// leave lets a reader go.
func (s *schedule) leave() {
	if len(s.readers) < 2 {
		return
	}
	r := s.readers[0]
	s.readers = s.readers[1:]
	s.trace.add("the reader of every %v leaves", r.interval)
	r.cancel()
	synctest.Wait()
	r.compare(s.store)
	s.sum.Batches += r.batches
}
