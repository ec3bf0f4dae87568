// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/executorpods/watchsource"
)

// podLife is the life of one pod, as a kubelet reports it, and sometimes as none should: with
// containers that it loses, counts and clocks that go back, and runs that go on after their
// end.
type podLife struct {
	t      *testing.T
	seed   uint64
	random *rand.Rand
	trace  []string
	// counts says how often each thing has happened in all lives.
	counts map[string]int

	pod *corev1.Pod
	// runs has the newest run last.
	runs []containerRun
	// created says that the newest container was created and not started.
	created bool
	version int

	// What the statuses shown so far say.
	// seen is the newest run that a status was about, -1 for none.
	seen int
	// history is the newest run whose end was history in the first status, -1 for none.
	history int
	// ended has the runs in the order of their ends.
	ended []int

	stores  []*lifeStore
	readers []*endReader
	marks   int
}

// containerRun is one run of the executor container.
type containerRun struct {
	// restarts is the count of the kubelet.
	restarts int32
	// clock is added to the times of the node.
	clock int64
}

func (l *podLife) run() {
	selector := selectorOf(l.t, "spark-role=executor")
	for _, s := range []lifeStore{
		{name: "kept", store: watchsource.NewStore()},
		{name: "dropped", store: watchsource.NewStore(watchsource.WithoutPods())},
		{name: "trimmed", store: watchsource.NewStore()},
		{name: "merged", store: watchsource.NewStore(), mergedBy: executorRule},
		{name: "merged for any container", store: watchsource.NewStore(), mergedBy: anyContainer},
		{name: "limited", store: watchsource.NewStore(watchsource.WithBacklogLimit(1)), limited: true},
	} {
		var options []watchsource.Option
		if s.name == "trimmed" {
			options = append(options, watchsource.WithTrimmedPods())
		}
		s.watcher = watchsource.NewWatcher(watchsource.Tee(s.store, &recordingStore{}), selector, options...)
		s.watcher.Replace(nil, "1")
		l.stores = append(l.stores, &s)
		l.join(&s)
	}
	l.create()
	l.show()
	for range 2 + l.random.IntN(14) {
		l.step()
		if l.random.IntN(3) == 0 && l.version > 1 {
			continue // a state that no watch has seen
		}
		l.show()
		for _, r := range l.readers {
			if l.random.IntN(2) == 0 {
				r.read(l)
			}
		}
		if l.random.IntN(4) == 0 {
			l.join(l.stores[l.random.IntN(4)])
		}
	}
	if l.random.IntN(2) == 0 {
		l.leave()
	}
	for _, s := range l.stores {
		s.flush(l.t)
	}
	for _, r := range l.readers {
		r.read(l)
		l.check(r)
	}
	l.counts["ends"] += len(l.ended)
}

func (l *podLife) note(format string, args ...any) {
	l.trace = append(l.trace, fmt.Sprintf(format, args...))
}

func (l *podLife) join(s *lifeStore) {
	s.flush(l.t)
	r := &endReader{
		lifeStore: s, name: fmt.Sprintf("%s %d", s.name, len(l.readers)), batches: newBatchReader(l.t, s.store, 0),
		joined: len(l.ended),
	}
	if e, ok := s.store.Snapshot().Get("exec-1"); ok && e.State.Ended() {
		r.already = 1
	}
	r.read(l)
	l.readers = append(l.readers, r)
}

func (l *podLife) main() *corev1.ContainerStatus { return &l.pod.Status.ContainerStatuses[0] }

func runID(run int) string { return fmt.Sprintf("containerd://%d", run) }

func (l *podLife) newest() int { return len(l.runs) - 1 }

func (l *podLife) create() {
	l.history = -1
	for range l.random.IntN(3) {
		l.runs = append(l.runs, containerRun{restarts: int32(len(l.runs))})
	}
	l.version = 1
	l.pod = pod("1", uid("u"), restartPolicyAlways, phase(corev1.PodRunning), container(executorContainer, running()),
		container("side", running()))
	main := l.main()
	main.ContainerID, main.RestartCount = runID(l.newest()), l.runs[l.newest()].restarts
	if l.newest() > 0 {
		main.LastTerminationState = l.terminated(l.newest() - 1)
	}
	if l.random.IntN(4) == 0 {
		main.State, main.LastTerminationState = waiting("CrashLoopBackOff"), l.terminated(l.newest())
	}
}

func (l *podLife) terminated(run int) corev1.ContainerState {
	state := ended(int32(run%3), "Error")
	state.Terminated.ContainerID = runID(run)
	state.Terminated.FinishedAt = metav1.Unix(1_700_000_200+10*int64(run)+l.runs[run].clock, 0)
	return state
}

func lostEnd() corev1.ContainerState {
	return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "ContainerStatusUnknown"}}
}

func (l *podLife) final() bool {
	return l.pod.DeletionTimestamp != nil || l.pod.Status.Phase == corev1.PodFailed || l.pod.Status.Phase == corev1.PodSucceeded
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
	switch choice := l.random.IntN(18); {
	case choice < 3 && main.State.Running != nil:
		main.State = l.terminated(l.newest())
	case choice < 5 && main.State.Terminated != nil && !l.final():
		main.LastTerminationState, main.State = main.State, waiting("CrashLoopBackOff")
	case choice < 8 && main.State.Running == nil && !l.final():
		l.start()
	case choice == 8 && main.State.Terminated != nil && main.State.Terminated.ContainerID != "": // which no kubelet does
		main.State = running()
		l.counts["runs again"]++
	case choice == 9 && main.State.Terminated != nil: // nor that
		main.State.Terminated.ExitCode = 3
		l.counts["other exit code"]++
	case choice == 10 && l.random.IntN(3) == 0:
		deleting(l.pod)
	case choice == 11:
		l.pod.Status.Phase = []corev1.PodPhase{corev1.PodPending, corev1.PodRunning, corev1.PodFailed, corev1.PodSucceeded}[l.random.IntN(4)]
		l.pod.Status.Reason = ""
		if l.random.IntN(4) == 0 && l.version > 2 {
			l.pod.Status.ContainerStatuses = nil
		}
	case choice == 12:
		l.pod.Status.Phase, l.pod.Status.Reason = corev1.PodFailed, "DeadlineExceeded"
		l.counts["verdicts"]++
	case choice < 15 && main.State.Running != nil:
		l.lose()
	case choice == 15 && l.random.IntN(2) == 0:
		l.terminatePod()
	case choice > 15 && main.State.Running == nil && !l.created && !l.final():
		l.start()
		main.State, l.created = waiting("RunContainerError"), true
		if last := main.LastTerminationState.Terminated; last != nil && last.ContainerID == "" {
			main.LastTerminationState = corev1.ContainerState{} // which the runtime does not know
		}
		l.counts["created"]++
	}
}

// start begins another run. A node that has lost its records counts from an earlier number,
// and knows no last state. Its clock may jump.
func (l *podLife) start() {
	main := l.main()
	if l.created && main.ContainerID != "" {
		main.State, l.created = running(), false
		return
	}
	if main.State.Terminated != nil {
		main.LastTerminationState = main.State
	}
	next := containerRun{restarts: main.RestartCount + 1, clock: int64(l.random.IntN(3)-1) * int64(l.random.IntN(2)) * 1000}
	if l.random.IntN(5) == 0 {
		next.restarts = int32(l.random.IntN(int(next.restarts)))
		main.LastTerminationState = corev1.ContainerState{}
		l.counts["counts back"]++
	}
	l.runs = append(l.runs, next)
	main.RestartCount, main.ContainerID, main.State = next.restarts, runID(l.newest()), running()
}

// lose makes the kubelet forget the container that ran (convertToAPIContainerStatuses).
func (l *podLife) lose() {
	main := l.main()
	main.State, main.ContainerID = waiting("ContainerCreating"), ""
	if main.LastTerminationState.Terminated == nil {
		main.LastTerminationState = lostEnd()
		if l.pod.DeletionTimestamp == nil {
			main.RestartCount++
		}
	}
	l.counts["lost"]++
}

// terminatePod is what the kubelet does at the end of a pod (TerminatePod).
func (l *podLife) terminatePod() {
	if main := l.main(); main.State.Terminated == nil {
		main.State = lostEnd()
	}
	if l.pod.Status.Phase != corev1.PodSucceeded {
		l.pod.Status.Phase = corev1.PodFailed
	}
}

// show delivers the state to the stores.
func (l *podLife) show() {
	l.expect()
	l.version++
	l.pod.ResourceVersion = fmt.Sprint(l.version)
	list, flush := l.random.IntN(4) == 0, l.random.IntN(4) == 0
	for _, s := range l.stores {
		if s.mergedBy != nil && s.waiting.put(s.mergedBy, l.pod.DeepCopy()) {
			l.counts["merged"]++
		}
		if list || flush {
			s.flush(l.t)
		}
		switch pod := l.pod.DeepCopy(); {
		case list:
			s.watcher.Replace([]*corev1.Pod{pod}, pod.ResourceVersion)
		case s.mergedBy == nil:
			must(l.t, s.watcher.Receive(modified(pod)))
		}
	}
}

// leave deletes the pod, which may show another state.
func (l *podLife) leave() {
	if l.random.IntN(2) == 0 {
		l.step()
	}
	l.note("deleted")
	l.expect()
	l.version++
	l.pod.ResourceVersion = fmt.Sprint(l.version)
	for _, s := range l.stores {
		s.flush(l.t)
		must(l.t, s.watcher.Receive(watch.Event{Type: watch.Deleted, Object: l.pod.DeepCopy()}))
	}
}

// lastRun is the run whose end the last state is, -1 for none. before is the newest run that the
// status before has shown.
func (l *podLife) lastRun(before int) int {
	main := l.main()
	last := main.LastTerminationState.Terminated
	switch {
	case last == nil:
	case last.ContainerID != "":
		return runOf(last)
	case main.ContainerID == "", main.State.Waiting != nil:
		return l.seen
	case before != l.seen:
		return before
	}
	return -1
}

// expect notes the ends that the state shows. It knows the runs, at which the pod only hints.
func (l *podLife) expect() {
	failed := l.pod.Status.Phase == corev1.PodFailed || l.pod.Status.Phase == corev1.PodSucceeded
	if len(l.pod.Status.ContainerStatuses) == 0 {
		l.note("%d: %s %s, no container status", l.version+1, l.pod.Status.Phase, l.pod.Status.Reason)
		if failed {
			l.endPresent(l.seen)
		}
		return
	}
	main := l.main()
	l.note("%d: %s %s, %q restarts %d, %s, last %s, deleting %v", l.version+1, l.pod.Status.Phase, l.pod.Status.Reason,
		main.ContainerID, main.RestartCount, inWords(main.State), inWords(main.LastTerminationState), l.pod.DeletionTimestamp != nil)
	state, last := main.State.Terminated, main.LastTerminationState.Terminated
	before := l.seen
	if main.ContainerID != "" { // of the first status too
		l.seen = l.newest()
	}
	lastRun := l.lastRun(before)
	isOwn := l.final() && main.State.Waiting != nil
	switch {
	case isOwn && lastRun >= 0 && lastRun != l.seen && main.ContainerID != "": // the container was not started
		l.end(lastRun)
		if failed {
			l.endPresent(l.seen)
		}
		return
	case isOwn && lastRun >= 0 && lastRun != l.seen && l.hasEnded(lastRun): // the kubelet has lost the run after it
		if failed {
			l.endPresent(l.seen)
		}
		return
	case isOwn && lastRun >= 0:
		l.seen = max(l.seen, lastRun)
		l.endPresent(lastRun)
		return
	case l.version == 1:
		l.history = lastRun
	case lastRun >= 0:
		l.end(lastRun)
	}
	switch {
	case state == nil && !failed:
		return
	case main.ContainerID == "" && state != nil && last != nil && lastRun == before && last.ContainerID != "":
		l.seen = l.newest() // which no status has shown while it ran
	}
	l.endPresent(l.seen)
}

func runOf(end *corev1.ContainerStateTerminated) (run int) {
	fmt.Sscanf(end.ContainerID, "containerd://%d", &run)
	return run
}

func (l *podLife) hasEnded(run int) bool { return run == l.history || slices.Contains(l.ended, run) }

// end notes that a run has ended, unless that was known.
func (l *podLife) end(run int) {
	if !l.hasEnded(run) {
		l.ended = append(l.ended, run)
		l.note("   run %d has ended", run)
	}
}

// endPresent notes that the executor has ended in a run. If the first status showed the end
// of that run as history, it counts now.
func (l *podLife) endPresent(run int) {
	if run == l.history {
		l.history = -1
	}
	l.end(run)
}

// check compares the ends that a reader was shown with those there were.
func (l *podLife) check(r *endReader) {
	owed := l.ended[r.joined-r.already:]
	if len(r.shown) > len(owed) || len(r.shown) < len(owed) && !r.limited {
		l.t.Errorf("%s was shown %d ends, want those of the runs %v", r.name, len(r.shown), owed)
	}
	times := map[int64]bool{}
	for _, e := range r.shown {
		at := e.FinishedAt.Unix()
		if !e.FinishedAt.IsZero() && times[at] {
			l.t.Errorf("%s was shown the end at %v twice", r.name, e.FinishedAt)
		}
		times[at] = true
		of := func(run int) bool { return at == 1_700_000_200+10*int64(run)+l.runs[run].clock }
		if !e.FinishedAt.IsZero() && !slices.ContainsFunc(owed, of) {
			l.t.Errorf("%s was shown an end at %v, want those of the runs %v", r.name, e.FinishedAt, owed)
		}
	}
}
