// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/executorpods/watchsource"
)

// Whatever states one pod goes through, each reader is shown each end of each run
// of the executor container once, and no end that there was not. A sequence of
// states is made from a seed; -seed replays one.
func TestEachEndOnce(t *testing.T) {
	first, n := *seed, uint64(1)
	if first == 0 {
		first, n = rand.Uint64(), 3000
	}
	var total int
	for i := range n {
		s := &podLife{t: t, seed: first + i, random: rand.New(rand.NewPCG(first+i, 1))}
		total += s.run()
		if t.Failed() {
			t.Fatalf("replay with -seed=%d:\n%s", s.seed, strings.Join(s.trace, "\n"))
		}
	}
	if n > 1 && total < 1000 {
		t.Errorf("%d ends in %d sequences, want more", total, n)
	}
}

// podLife is the life of one pod, as a kubelet might report it, and sometimes as
// none would: with containers that run again after they have ended.
type podLife struct {
	t      *testing.T
	seed   uint64
	random *rand.Rand
	trace  []string

	pod      *corev1.Pod
	attempt  int32 // of the container's runs, which is its restart count
	baseline int32 // the newest run whose end was history at the first sight, -1 for none
	ended    []int32
	newest   int32 // run that has ended, -1 for none
	seen     int32 // run that the newest status shown is about
	version  int
	readers  []*endReader
	marks    int
}

// endReader reads a store, and counts the ends that it is shown by run.
type endReader struct {
	name    string
	store   *watchsource.Store
	batches batchReader
	limited bool
	joined  int // number of ends before it came
	already int // of those, ends that the first batch shows
	shown   map[int32]int
	marks   *int // changes of another pod, of all readers
}

func (l *podLife) run() (ends int) {
	stores := map[string]*watchsource.Store{
		"kept":    watchsource.NewStore(),
		"dropped": watchsource.NewStore(watchsource.WithoutPods()),
		"limited": watchsource.NewStore(watchsource.WithBacklogLimit(1)),
	}
	trimmed := watchsource.NewStore()
	tee := watchsource.Tee(stores["kept"], stores["dropped"], stores["limited"], &recordingStore{})
	selector := selectorOf(l.t, "spark-role=executor")
	watchers := []*watchsource.Watcher{
		watchsource.NewWatcher(tee, selector),
		watchsource.NewWatcher(trimmed, selector, watchsource.WithTrimmedPods()),
	}
	stores["trimmed"] = trimmed
	for _, w := range watchers {
		w.Replace(nil, "1")
	}
	for _, name := range slices.Sorted(maps.Keys(stores)) {
		l.join(name, stores[name])
	}
	l.create()
	for range 2 + l.random.IntN(14) {
		l.step()
		if l.random.IntN(3) == 0 && l.version > 1 {
			continue // a state that no watch has seen
		}
		l.show(watchers)
		for _, r := range l.readers {
			if l.random.IntN(2) == 0 {
				r.read(l.t)
			}
		}
		if name := []string{"kept", "dropped", "trimmed"}[l.random.IntN(3)]; l.random.IntN(4) == 0 {
			l.join(name, stores[name])
		}
	}
	if l.random.IntN(2) == 0 {
		if l.random.IntN(2) == 0 {
			l.step()
		}
		l.note("deleted")
		l.expect()
		l.version++
		l.pod.ResourceVersion = fmt.Sprint(l.version)
		for _, w := range watchers {
			must(l.t, w.Receive(watch.Event{Type: watch.Deleted, Object: l.pod.DeepCopy()}))
		}
	}
	for _, r := range l.readers {
		r.read(l.t)
		l.check(r)
	}
	return len(l.ended)
}

func (l *podLife) note(format string, args ...any) {
	l.trace = append(l.trace, fmt.Sprintf(format, args...))
}

func (l *podLife) join(name string, store *watchsource.Store) {
	r := &endReader{name: fmt.Sprintf("%s %d", name, len(l.readers)), store: store, limited: name == "limited",
		shown: map[int32]int{}, marks: &l.marks, batches: newBatchReader(l.t, store, 0), joined: len(l.ended)}
	if e, ok := store.Snapshot().Get("exec-1"); ok && e.State.Ended() {
		r.already = 1
	}
	r.read(l.t)
	l.readers = append(l.readers, r)
}

func (l *podLife) create() {
	l.attempt, l.baseline, l.newest, l.version = int32(l.random.IntN(3)), -1, -1, 1
	l.pod = pod("1", uid("u"), restartPolicyAlways, phase(corev1.PodRunning), container(executorContainer, corev1.ContainerState{}), container("side", running()))
	main := l.main()
	main.RestartCount = l.attempt
	main.State = running()
	if l.attempt > 0 {
		main.LastTerminationState = l.terminated(l.attempt - 1)
	}
	main.ContainerID = runID(l.attempt)
}

func (l *podLife) main() *corev1.ContainerStatus { return &l.pod.Status.ContainerStatuses[0] }

func runID(attempt int32) string { return fmt.Sprintf("containerd://%d", attempt) }

func (l *podLife) terminated(attempt int32) corev1.ContainerState {
	state := ended(attempt%3, "Error")
	state.Terminated.ContainerID = runID(attempt)
	state.Terminated.FinishedAt = metav1.Unix(1_700_000_200+10*int64(attempt), 0)
	return state
}

// step goes on to another state of the pod.
func (l *podLife) step() {
	if len(l.pod.Status.ContainerStatuses) == 0 { // and there never will be again
		if l.random.IntN(3) == 0 {
			l.pod.Status.Phase = []corev1.PodPhase{corev1.PodFailed, corev1.PodSucceeded}[l.random.IntN(2)]
		}
		return
	}
	main := l.main()
	final := l.pod.DeletionTimestamp != nil || l.pod.Status.Phase == corev1.PodFailed
	switch choice := l.random.IntN(12); {
	case choice < 3 && main.State.Running != nil:
		main.State = l.terminated(l.attempt)
	case choice < 5 && main.State.Terminated != nil && !final:
		main.LastTerminationState, main.State = main.State, waiting("CrashLoopBackOff")
	case choice < 8 && main.State.Running == nil && !final:
		if main.State.Terminated != nil {
			main.LastTerminationState = main.State
		}
		l.attempt++
		main.RestartCount, main.ContainerID, main.State = l.attempt, runID(l.attempt), running()
	case choice == 8 && main.State.Terminated != nil: // which no kubelet does
		main.State = running()
	case choice == 9 && main.State.Terminated != nil: // nor that
		main.State.Terminated.ExitCode = 3
	case choice == 10 && l.random.IntN(3) == 0:
		deleting(l.pod)
	case choice == 11:
		l.pod.Status.Phase = []corev1.PodPhase{corev1.PodPending, corev1.PodRunning, corev1.PodFailed}[l.random.IntN(3)]
		if l.random.IntN(4) == 0 && l.version > 2 {
			l.pod.Status.ContainerStatuses = nil
		}
	}
}

// show delivers the state to the stores.
func (l *podLife) show(watchers []*watchsource.Watcher) {
	l.expect()
	l.version++
	l.pod.ResourceVersion = fmt.Sprint(l.version)
	list := l.random.IntN(4) == 0
	for _, w := range watchers {
		if list {
			w.Replace([]*corev1.Pod{l.pod.DeepCopy()}, l.pod.ResourceVersion)
		} else {
			must(l.t, w.Receive(modified(l.pod.DeepCopy())))
		}
	}
}

// expect notes the ends that the state shows.
func (l *podLife) expect() {
	failed := l.pod.Status.Phase == corev1.PodFailed
	if len(l.pod.Status.ContainerStatuses) == 0 {
		l.note("%d: %s, no container status", l.version+1, l.pod.Status.Phase)
		if failed || l.pod.Status.Phase == corev1.PodSucceeded {
			l.end(l.seen)
		}
		return
	}
	main := l.main()
	l.seen = l.attempt
	l.note("%d: %s, run %d %s, last %s, deleting %v", l.version+1, l.pod.Status.Phase, l.attempt, inWords(main.State), inWords(main.LastTerminationState), l.pod.DeletionTimestamp != nil)
	if last := main.LastTerminationState.Terminated; last != nil {
		var run int32
		fmt.Sscanf(last.ContainerID, "containerd://%d", &run)
		switch final := failed || l.pod.DeletionTimestamp != nil; {
		case l.version > 1 || final && main.State.Waiting != nil:
			l.end(run)
		case l.version == 1:
			l.baseline = run
		}
	}
	if main.State.Terminated != nil || failed {
		l.end(l.attempt)
	}
}

func (l *podLife) end(run int32) {
	if run > max(l.newest, l.baseline) || run == l.baseline && l.version == 1 {
		l.ended = append(l.ended, run)
		l.newest = run
		l.note("   run %d has ended", run)
	}
}

func inWords(state corev1.ContainerState) string {
	switch {
	case state.Running != nil:
		return "runs"
	case state.Waiting != nil:
		return "waits"
	case state.Terminated != nil:
		return fmt.Sprintf("ended %s with %d", state.Terminated.ContainerID, state.Terminated.ExitCode)
	default:
		return "-"
	}
}

// read takes a batch. There is one, because another pod changes.
func (r *endReader) read(t *testing.T) {
	*r.marks++
	r.store.UpdatePod(pod("0", uid("mark"), version(fmt.Sprint(1000+*r.marks))))
	batch, _ := r.batches.next()
	var last *watchsource.Executor
	for _, c := range batch.Changes {
		if c.After.Name != "exec-1" {
			continue
		}
		if c.Ended() {
			r.shown[c.After.Restarts]++
			if !c.After.State.Ended() {
				t.Errorf("%s: an end in state %v, want Succeeded or Failed", r.name, c.After.State)
			}
		}
		last = c.After
	}
	if last == nil {
		return
	}
	switch e, ok := batch.Snapshot.Get(last.Name); {
	case last.State == watchsource.Deleted && ok:
		t.Errorf("%s: the snapshot has %v, want no executor after the change to Deleted", r.name, e.State)
	case last.State != watchsource.Deleted && e != *last:
		t.Errorf("%s: the snapshot has %+v, want the last change %+v", r.name, e, *last)
	}
}

// check compares the ends that a reader was shown with those there were.
func (l *podLife) check(r *endReader) {
	owed := l.ended[r.joined-r.already:]
	for run, n := range r.shown {
		if n > 1 || !slices.Contains(owed, run) {
			l.t.Errorf("%s was shown the end of run %d %d times, want once for each of %v", r.name, run, n, owed)
		}
	}
	for _, run := range owed {
		if r.shown[run] == 0 && !r.limited {
			l.t.Errorf("%s was not shown the end of run %d, want it shown once", r.name, run)
		}
	}
}

// Sequences of states that random lives rarely have.
func TestEndsOfRuns(t *testing.T) {
	inRun := func(id string, restarts int32) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Status.ContainerStatuses[0].ContainerID, p.Status.ContainerStatuses[0].RestartCount = id, restarts
		}
	}
	states := func(changes ...func(*corev1.Pod)) *corev1.Pod {
		return pod("1", append([]func(*corev1.Pod){uid("u"), phase(corev1.PodRunning), restartPolicyAlways}, changes...)...)
	}
	timeless := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1}}
	failed, succeeded := container(executorContainer, ended(1, "Error")), container(executorContainer, ended(0, "Completed"))
	for _, test := range []struct {
		name    string
		pods    []*corev1.Pod
		ends    int
		state   watchsource.State
		reason  string
		problem string
	}{
		{name: "two runs without IDs and times", ends: 2, state: watchsource.Failed,
			pods: []*corev1.Pod{states(container(executorContainer, timeless), inRun("", 0)), states(container(executorContainer, timeless), inRun("", 1))}},
		{name: "waits to be restarted", ends: 1, state: watchsource.Running, reason: "CrashLoopBackOff",
			pods: []*corev1.Pod{states(failed, inRun("a", 0)), states(container(executorContainer, waiting("CrashLoopBackOff")), inRun("a", 0), lastEnd(1, "Error", 0))}},
		{name: "runs again by its policy", ends: 1, state: watchsource.Running,
			pods: []*corev1.Pod{states(failed, inRun("a", 0)), states(container(executorContainer, running()), inRun("b", 1), lastEnd(1, "Error", 1))}},
		{name: "was restarted unseen", ends: 1, state: watchsource.Running,
			pods: []*corev1.Pod{states(container(executorContainer, running()), inRun("a", 0)), states(container(executorContainer, running()), inRun("b", 1), lastEnd(1, "Error", 1))}},
		{name: "was restarted by its rule", ends: 0, state: watchsource.Running,
			pods: []*corev1.Pod{
				states(container(executorContainer, running()), restartRule("In", "Restart", 42), inRun("a", 0)),
				states(container(executorContainer, running()), restartRule("In", "Restart", 42), inRun("b", 1), lastEnd(42, "Error", 1)),
			}},
		{name: "is said to run after its end", ends: 1, state: watchsource.Failed, reason: "Error",
			problem: "the executor has ended (Failed, exit code 1), and the pod is reported as Running",
			pods:    []*corev1.Pod{states(failed, inRun("a", 0)), states(container(executorContainer, running()), inRun("a", 0))}},
		{name: "is said to have ended otherwise", ends: 1, state: watchsource.Succeeded, reason: "Completed",
			problem: "the executor has ended (Succeeded, exit code 0), and the pod is reported as Failed, exit code 1, Error",
			pods:    []*corev1.Pod{states(succeeded, inRun("a", 0)), states(failed, inRun("a", 0))}},
		{name: "evicted, which shows later", ends: 1, state: watchsource.Failed, reason: "Evicted",
			pods: []*corev1.Pod{states(failed, inRun("a", 0)), states(failed, inRun("a", 0), phase(corev1.PodFailed), status("Evicted", ""))}},
		{name: "two final phases without a container status", ends: 1, state: watchsource.Failed,
			problem: "the executor has ended (Failed, exit code -1), and the pod is reported as Succeeded",
			pods:    []*corev1.Pod{states(phase(corev1.PodFailed)), states(phase(corev1.PodSucceeded))}},
		{name: "loses its status, in two phases", ends: 1, state: watchsource.Succeeded, reason: "Completed",
			problem: "the executor has ended (Succeeded, exit code 0), and the pod is reported as Running",
			pods:    []*corev1.Pod{states(succeeded), states(phase(corev1.PodFailed)), states()}},
		{name: "failed with its pod, then by itself", ends: 1, state: watchsource.Failed, reason: "Evicted",
			pods: []*corev1.Pod{
				states(container(executorContainer, running()), inRun("a", 0)),
				states(container(executorContainer, running()), inRun("a", 0), phase(corev1.PodFailed), status("Evicted", "")),
				states(failed, inRun("a", 0), phase(corev1.PodFailed), status("Evicted", "")),
			}},
	} {
		t.Run(test.name, func(t *testing.T) {
			store := watchsource.NewStore()
			reader := newBatchReader(t, store, 0)
			reader.next()
			ends := 0
			for i, p := range test.pods {
				p.ResourceVersion = fmt.Sprint(i + 1)
				store.UpdatePod(p)
				batch, _ := reader.next()
				for _, c := range batch.Changes {
					if c.Ended() {
						ends++
					}
				}
			}
			e, _ := store.Snapshot().Get("exec-1")
			if ends != test.ends || e.State != test.state || e.Reason != test.reason || e.Problem != test.problem {
				t.Errorf("%d ends, then %v, reason %q, problem %q; want %d, %v, %q, %q", ends, e.State, e.Reason, e.Problem, test.ends, test.state, test.reason, test.problem)
			}
		})
	}
}

// A reader whose backlog was given up is shown the ends that it has not been
// shown, and no others.
func TestEndsAfterBacklogLimit(t *testing.T) {
	store := watchsource.NewStore(watchsource.WithBacklogLimit(3))
	end := func(id string, second int64, more ...func(*corev1.Pod)) *corev1.Pod {
		state := ended(1, "Error")
		state.Terminated.FinishedAt = metav1.Unix(second, 0)
		return pod(id, append([]func(*corev1.Pod){uid(id), phase(corev1.PodRunning), container(executorContainer, state)}, more...)...)
	}
	runs := func(id string) *corev1.Pod {
		return pod(id, uid(id), phase(corev1.PodRunning), container(executorContainer, running()))
	}
	store.ReplaceSnapshot([]*corev1.Pod{end("before", 1), end("twice", 1), end("back", 1), runs("within"), runs("after")})
	reader := newBatchReader(t, store, 0)
	reader.next()
	store.UpdatePod(end("within", 2))
	for _, id := range []string{"x", "y", "z"} {
		store.UpdatePod(runs(id))
	}
	if backlogs := store.Backlogs(); len(backlogs) != 1 || !backlogs[0].GivenUp {
		t.Fatalf("backlogs %+v, want one that was given up", backlogs)
	}
	store.UpdatePod(end("after", 3))
	store.UpdatePod(runs("twice"))
	store.UpdatePod(end("twice", 4))
	store.DeletePod(end("back", 1)) // as if its labels had changed, and changed back
	store.UpdatePod(end("back", 1))
	store.UpdatePod(end("before", 1, deleting))
	batch, _ := reader.next()
	var got []string
	for _, c := range batch.Changes {
		if c.Ended() {
			got = append(got, c.After.ID)
		}
	}
	if want := []string{"after", "back", "twice", "within"}; !slices.Equal(got, want) || !batch.Anew {
		t.Errorf("anew %v, ends of %v, want %v", batch.Anew, got, want)
	}
}

// The end in a container's last state stays the end of the pod after the container's
// status is gone, although that status was about the run that was to follow.
func TestEndInLastStateIsKept(t *testing.T) {
	state := ended(137, "ContainerStatusUnknown")
	state.Terminated.ContainerID = runID(0)
	waits := container(executorContainer, waiting("ContainerCreating"))
	lost := pod("1", uid("u"), version("1"), phase(corev1.PodFailed), waits, func(p *corev1.Pod) {
		status := &p.Status.ContainerStatuses[0]
		status.RestartCount, status.ContainerID, status.LastTerminationState = 1, runID(1), state
	})
	store := watchsource.NewStore()
	reader := newBatchReader(t, store, 0)
	reader.next()
	ends := 0
	for i, p := range []*corev1.Pod{lost, pod("1", uid("u"), version("2"), phase(corev1.PodFailed)), pod("1", uid("u"), version("3"))} {
		store.UpdatePod(p)
		if batch, _ := reader.next(); batch.Changes[0].Ended() {
			ends++
		}
		if e, _ := store.Snapshot().Get("exec-1"); e.State != watchsource.Failed || e.ExitCode != 137 {
			t.Errorf("state %d: %v, exit code %d, want Failed, 137", i, e.State, e.ExitCode)
		}
	}
	if ends != 1 {
		t.Errorf("%d ends, want 1", ends)
	}
}

// Change.Ended of a Change that a test of a scheduler has made.
func TestChangeOfOnesOwn(t *testing.T) {
	running, failed := &watchsource.Executor{State: watchsource.Running}, &watchsource.Executor{State: watchsource.Failed}
	for _, test := range []struct {
		change watchsource.Change
		want   bool
	}{
		{change: watchsource.Change{After: running}, want: false},
		{change: watchsource.Change{After: failed}, want: true},
		{change: watchsource.Change{Before: running, After: failed}, want: true},
		{change: watchsource.Change{Before: failed, After: failed}, want: false},
	} {
		if got := test.change.Ended(); got != test.want {
			t.Errorf("%+v: Ended() = %v, want %v", test.change, got, test.want)
		}
	}
}
