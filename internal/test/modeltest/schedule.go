// SPDX-License-Identifier: Apache-2.0

package modeltest

import (
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/podtest"
	"github.com/executorpods/watchsource/watchtest"
)

// schedule is one run of the test.
type schedule struct {
	t          *testing.T
	seed       uint64
	random     *rand.Rand
	totals     *totals
	trace      *trace
	server     *watchtest.Server
	history    *history
	faults     *faults
	monitor    *responseMonitor
	store      *checkingStore
	source     *watchsource.WatchSnapshotSource
	running    bool
	relists    int // in the stopped sessions
	readers    []*checkingReader
	waiting    []*checkingReader // for the next Start
	goroutines sync.WaitGroup
}

func newSchedule(t *testing.T, newSource NewSource, seed uint64, totals *totals) *schedule {
	r := rand.New(rand.NewPCG(seed, 0))
	selector, err := labels.Parse(podtest.Selector)
	if err != nil {
		t.Fatal(err)
	}
	trace := &trace{began: time.Now()}
	transportOnly := r.IntN(3) == 0
	server := watchtest.NewServer(serverOptions(r, transportOnly)...)
	trimmed, json, namespace := r.IntN(4) == 0, r.IntN(3) == 0, []string{"", "jobs"}[r.IntN(2)]
	s := &schedule{
		t: t, seed: seed, random: r, totals: totals, trace: trace, server: server,
		history: &history{
			server: server, random: r, namespace: namespace, trace: trace,
			selector: selector, pods: map[types.NamespacedName]*corev1.Pod{},
		},
	}
	s.history.willRestore = !transportOnly && r.IntN(3) == 0
	s.store = newCheckingStore(s.fail, s.history, trimmed)
	s.monitor = &responseMonitor{trace: trace, sourceVersion: func() string { return s.source.Status().ResourceVersion }}
	s.faults = &faults{history: s.history, json: json, transportOnly: transportOnly}
	options := []watchsource.Option{watchsource.WithNamespace(namespace), watchsource.WithLogger(logr.Discard())}
	if trimmed {
		options = append(options, watchsource.WithTrimmedPods())
	}
	verified := time.Duration(max(0, r.IntN(4)-1)) * 20 * time.Second
	options = append(options, watchsource.WithVerification(verified))
	s.source = newSource(s.store, s.client(json), options...)
	trace.add("JSON %v, trimmed %v, namespace %q, transport faults only %v, verified each %v", json, trimmed, namespace, transportOnly, verified)
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

// client returns a client whose responses the monitor reads.
func (s *schedule) client(json bool) kubernetes.Interface {
	config := s.server.Config()
	if json {
		config.AcceptContentTypes, config.ContentType = "application/json", "application/json"
	}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		s.monitor.next = next
		return s.monitor
	})
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		s.t.Fatal(err)
	}
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
		s.history.randomChange()
	}
	s.addReader()
	if s.random.IntN(4) == 0 {
		s.faults.injectFault()
	}
	s.start()
	for range 15 + s.random.IntN(30) {
		s.step()
	}
	s.awaitRecovery()
	s.checkFinalState()
	s.finish()
}

func (s *schedule) logTrace() {
	if s.t.Failed() {
		s.t.Logf("seed %d:\n%v", s.seed, s.trace)
	}
}

// step performs one random step. The random numbers that it draws must not depend on the
// source, or a seed would not always give the same schedule.
func (s *schedule) step() {
	switch s.random.IntN(21) {
	case 0, 1, 2, 3, 4, 5, 6, 7:
		s.history.randomChange()
	case 8, 9:
		s.faults.strikeStreams()
	case 10, 11:
		s.faults.injectFault()
	case 12:
		s.faults.liftOne()
	case 13:
		if s.random.IntN(2) == 0 {
			s.addReader()
		} else {
			s.removeReader()
		}
	case 14:
		s.startOrStop()
	case 15, 16:
		s.backUpOrRestore()
	case 17:
		s.faults.loseStore()
	default:
		s.sleep()
	}
}

// backUpOrRestore backs the server up at its first call, and restores it at the next. An
// event that the source has not received before the restore is lost.
func (s *schedule) backUpOrRestore() {
	h := s.history
	switch {
	case !h.willRestore:
		s.sleep()
	case h.backup == nil:
		h.takeBackup()
	case h.backup.restore != nil:
		s.faults.liftAll()
		synctest.Wait()
		if s.random.IntN(2) == 0 {
			s.faults.putBack()
		}
		h.restoreBackup()
		s.faults.maybeSilent = true // a watch from a future version is silent
		s.totals.Restores++
	}
}

// sleep advances the time by a random duration.
func (s *schedule) sleep() {
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
	before := s.store.numCalls()
	s.monitor.beginSession()
	err := s.source.Start(podtest.App)
	s.trace.add("Start = %v", err)
	s.running = err == nil
	switch {
	case err == nil:
		s.startReaders()
	case len(s.faults.lifts) == 0:
		s.fail("Start = %v, want nil without a fault", err)
	default:
		s.totals.FailedStarts++
		if n := s.store.numCalls() - before; n > 0 {
			s.fail("Start failed after %d calls of the store, want none", n)
		}
		s.checkNoStreams()
	}
}

// stop checks that Stop is quick in every state of the source. The checkingStore fails if
// it is called afterwards.
func (s *schedule) stop() {
	began := time.Now()
	s.source.Stop()
	if took := time.Since(began); took > time.Second {
		s.fail("Stop took %v, want at most 1s", took)
	}
	s.trace.add("stopped")
	s.store.markStopped()
	s.running = false
	s.checkReadersHaveEnded()
	s.checkRelists()
	s.checkNoStreams()
}

func (s *schedule) startOrStop() {
	if s.running {
		s.stop()
		return
	}
	s.store.markStarted()
	s.start()
}

func (s *schedule) checkNoStreams() {
	synctest.Wait()
	if n := len(s.server.Streams()); n > 0 {
		s.fail("%d streams are open, want none", n)
	}
}

// checkRelists checks that the source listed again only if it had to: guarantee 5.
func (s *schedule) checkRelists() {
	status := s.source.Status()
	s.relists += status.Relists
	s.totals.Resumes += status.Resumes
	s.totals.Relists += status.Relists
	s.totals.Stalls += status.Stalls
	s.totals.Errors += status.Errors
	s.totals.Stops++
	allowed := s.monitor.allowedLists() + s.faults.olderStates
	if s.history.isRestored() {
		allowed += 2 // two if the source requested the first before the restore
	}
	if s.relists > allowed {
		s.fail("%d relists, want at most %d", s.relists, allowed)
	}
	if s.faults.transportOnly && s.monitor.numLostVersions() > 0 {
		s.fail("%d versions were lost, want none in a schedule of transport faults", s.monitor.numLostVersions())
	}
}

// awaitRecovery lifts all faults and gives the source the time that it may need to recover.
func (s *schedule) awaitRecovery() {
	s.faults.liftAll()
	if !s.running {
		s.store.markStarted()
		s.start()
	}
	within := 2 * time.Minute
	if s.faults.maybeSilent {
		within = 15 * time.Minute
	}
	s.trace.add("all faults lifted, %v to recover", within)
	time.Sleep(within)
	synctest.Wait()
	if s.source.Status().Phase != watchsource.Watching {
		// A stream that was open when the faults were lifted may still end by one of
		// them, and the server may ask for a pause. The next stream has no faults.
		const longestPause = 45 * time.Second
		time.Sleep(longestPause)
		synctest.Wait()
	}
}

// checkFinalState checks that the source is watching and the store equals a LIST.
func (s *schedule) checkFinalState() {
	if status := s.source.Status(); status.Phase != watchsource.Watching {
		s.fail("phase %v, want Watching after the recovery: %v", status.Phase, status.Err)
	}
	s.store.compareToList()
}

func (s *schedule) finish() {
	time.Sleep(2 * longestInterval)
	synctest.Wait()
	for _, r := range s.readers {
		r.checkComplete(s.store, nil)
	}
	if s.running {
		s.stop()
	}
	for _, r := range s.waiting {
		r.cancel()
	}
	s.totals.Events += s.store.numCalls()
	s.totals.Verifications += s.monitor.verifications
	s.goroutines.Wait()
}

// addReader starts a reader. If the source has been stopped, the reader waits for the next
// Start.
func (s *schedule) addReader() {
	r := newCheckingReader(s.t.Context(), s.fail, s.random)
	if s.store.hasStopped() {
		s.waiting = append(s.waiting, r)
		return
	}
	s.startReader(r)
}

// startReaders starts the readers that wait for a Start.
func (s *schedule) startReaders() {
	waiting := s.waiting
	s.waiting = nil
	for _, r := range waiting {
		s.startReader(r)
	}
}

// startReader starts a reader. Nothing else runs at that time, so the checkingStore knows
// which events the reader must receive.
func (s *schedule) startReader(r *checkingReader) {
	synctest.Wait()
	r.firstExpected, r.expectedAtStart = s.store.expectedFromNow()
	s.trace.add("a reader starts, interval %v", r.interval)
	s.goroutines.Go(func() { r.readBatches(s.store) })
	s.goroutines.Go(func() { r.readLatest(s.store.inner) })
	s.goroutines.Go(func() { r.divided.read(r.ctx, s.store, r.pause) })
	synctest.Wait()
	s.readers = append(s.readers, r)
}

// removeReader cancels the oldest reader, unless it is the only one.
func (s *schedule) removeReader() {
	if len(s.readers) < 2 {
		return
	}
	r := s.readers[0]
	s.readers = s.readers[1:]
	s.trace.add("the reader with interval %v is cancelled", r.interval)
	synctest.Wait()
	byCancel := r.expected(s.store)
	r.cancel()
	<-r.done
	<-r.divided.done
	r.checkComplete(s.store, byCancel)
	s.totals.Batches += r.batches
}

// checkReadersHaveEnded checks that Stop has ended the readers, and that they lack nothing.
// Others like them wait for the next Start.
func (s *schedule) checkReadersHaveEnded() {
	for _, r := range s.readers {
		<-r.done
		<-r.divided.done
		r.checkComplete(s.store, nil)
		s.totals.Batches += r.batches
		r.cancel()
		s.waiting = append(s.waiting, r.again(s.t.Context()))
	}
	s.readers = nil
}
