// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"encoding/json"
	"fmt"
	"iter"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/executorpods/watchsource"
)

// A Watcher and a Store must not panic or contradict themselves after any events of a
// watch, and an older state must not replace a newer one. Six bytes of the input are one
// event.
func FuzzWatcher(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 0, 1, 10, 1, 0, 1, 0, 1, 11, 2, 0, 2, 0, 1, 12, 2, 0})             // added, modified, deleted
	f.Add([]byte{0, 1, 1, 10, 1, 0, 0, 1, 2, 12, 1, 0, 2, 1, 1, 11, 1, 0})             // one name, two lives
	f.Add([]byte{1, 2, 1, 10, 3, 0, 1, 2, 1, 9, 1, 0, 6, 0, 0, 0, 0, 0})               // an older state, a batch
	f.Add([]byte{0, 3, 0, 0, 1, 0, 1, 3, 0, 1, 2, 0, 1, 3, 0, 10, 3, 0})               // no UID, odd versions
	f.Add([]byte{5, 0xff, 1, 20, 2, 0, 5, 0, 1, 21, 2, 0, 4, 0, 0, 0, 0, 0})           // lists, an unknown event
	f.Add([]byte{3, 0, 0, 30, 0, 1, 3, 0, 0, 30, 0, 2, 7, 0, 0, 0, 0, 3})              // not a pod
	f.Add([]byte{0, 0, 1, 10, 2, 0x10, 1, 0, 1, 11, 3, 0x20, 1, 0, 1, 12, 3, 0x10, 6}) // labels that change
	f.Fuzz(func(t *testing.T, script []byte) {
		p := newPlayback(t)
		for ; len(script) >= 6; script = script[6:] {
			p.play([6]byte(script))
		}
		p.read()
	})
}

// playback feeds a Watcher, and reads the store behind it.
type playback struct {
	t        *testing.T
	store    *watchsource.Store
	watcher  *watchsource.Watcher
	listener *listener
	next     func() (watchsource.Batch, bool)
	reads    int
	before   watchsource.Snapshot
}

func newPlayback(t *testing.T) *playback {
	store := watchsource.NewStore(watchsource.WithLogger(logr.Discard()))
	next, stop := iter.Pull(store.Batches(t.Context(), 0))
	t.Cleanup(stop)
	p := &playback{
		t: t, store: store, next: next,
		watcher:  watchsource.NewWatcher(store, selectorOf(t, executors), watchsource.WithLogger(logr.Discard())),
		listener: &listener{fail: t.Errorf, view: map[types.UID]watchsource.Executor{}},
	}
	p.take()
	return p
}

// play lets one event happen.
func (p *playback) play(code [6]byte) {
	switch code[0] % 8 {
	case 5:
		var pods []*corev1.Pod
		for i := range 8 {
			if code[1]>>i&1 != 0 {
				pods = append(pods, fuzzPod(byte(i), code[2], code[3], code[4]+byte(i), code[5]))
			}
		}
		p.watcher.Replace(pods, fuzzVersion(code[3]))
		p.before, p.listener.anyOrder = watchsource.Snapshot{}, true // a list begins a new history
	case 6:
		p.read()
	default:
		event := fuzzEvent(code)
		err := p.watcher.Receive(event)
		switch pod, ok := event.Object.(*corev1.Pod); {
		case err != nil && !strings.HasPrefix(err.Error(), "watchsource: "):
			p.t.Errorf("%v is not an error of this package", err)
		case (err == nil) != (ok && pod != nil && code[0]%8 < 4):
			p.t.Errorf("%v event with %T: %v", event.Type, event.Object, err)
		}
	}
	p.look()
}

func (p *playback) look() {
	p.t.Helper()
	now := p.store.Snapshot()
	if problem := contradiction(now); problem != "" {
		p.t.Errorf("a snapshot contradicts itself: %s", problem)
	}
	if problem := wentBack(p.before, now); problem != "" {
		p.t.Errorf("the store went back: %s", problem)
	}
	p.before = now
}

// read takes a batch, and sees to it that there is one.
func (p *playback) read() {
	p.reads++
	p.store.UpdatePod(pod("sentinel", uid(fmt.Sprint("sentinel", p.reads))))
	p.take()
}

func (p *playback) take() {
	batch, ok := p.next()
	if !ok {
		p.t.Fatal("the batches have ended")
	}
	p.listener.take(batch)
}

func fuzzEvent(code [6]byte) watch.Event {
	kinds := []watch.EventType{watch.Added, watch.Modified, watch.Deleted, watch.Bookmark, "RENAMED", "", "", watch.Error}
	event := watch.Event{Type: kinds[code[0]%8], Object: fuzzPod(code[1], code[2], code[3], code[4], code[5])}
	switch code[5] % 16 {
	case 1:
		event.Object = nil
	case 2:
		event.Object = (*corev1.Pod)(nil)
	case 3:
		event.Object = &metav1.Status{Status: metav1.StatusFailure, Reason: metav1.StatusReasonExpired}
	case 4:
		event.Object = &corev1.PodList{}
	case 5:
		event.Object = &runtime.Unknown{}
	}
	return event
}

// fuzzPod is one of few pods, so that they meet.
func fuzzPod(name, life, resourceVersion, phase, flags byte) *corev1.Pod {
	p := pod(fmt.Sprint(name%8), version(fuzzVersion(resourceVersion)))
	if life %= 4; life != 0 {
		p.UID = types.UID(fmt.Sprintf("%s-%d", p.Name, life))
	}
	phases := []corev1.PodPhase{"", corev1.PodPending, corev1.PodRunning, corev1.PodFailed, corev1.PodSucceeded, "odd"}
	p.Status.Phase = phases[int(phase)%len(phases)]
	switch flags / 16 {
	case 1:
		p.Labels[watchsource.LabelApp] = "other"
	case 2:
		p.Labels[watchsource.LabelExecutorID] = "1"
	case 3:
		p.Labels = nil
	case 4:
		p.Namespace = ""
	case 5:
		deleting(p)
	}
	return p
}

// fuzzVersion is mostly a number, of different lengths.
func fuzzVersion(b byte) string {
	switch b {
	case 0:
		return ""
	case 1:
		return "odd"
	default:
		return fmt.Sprint(int(b) - 2)
	}
}

// Whatever a pod looks like, it becomes an executor that makes sense, the same
// by whichever way it comes.
func FuzzExecutor(f *testing.F) {
	for _, p := range fuzzSeeds() {
		text, err := json.Marshal(p)
		if err != nil {
			f.Fatal(err)
		}
		bytes, err := p.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
		f.Add(bytes)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p := &corev1.Pod{}
		if json.Unmarshal(data, p) != nil {
			p = &corev1.Pod{}
			if p.Unmarshal(data) != nil {
				return
			}
		}
		checkExecutor(t, p)
	})
}

func fuzzSeeds() []*corev1.Pod {
	failed := pod("2", phase(corev1.PodRunning), container(executorContainer, running()), container("logs", ended(1, "Error")))
	return []*corev1.Pod{
		{},
		pod("1", condition(corev1.PodScheduled, corev1.ConditionFalse, "Unschedulable")),
		failed,
		pod("3", phase(corev1.PodFailed), container(executorContainer, ended(137, "OOMKilled")), deleting),
		pod("4", phase(corev1.PodRunning), initContainer(executorContainer, "Always", ended(0, "Completed"))),
		pod("EXECID", phase("odd"), status("Evicted", "no room")),
		pod("5", container(executorContainer, waiting("ImagePullBackOff")), containerPolicy(executorContainer, "Never")),
	}
}

func checkExecutor(t *testing.T, p *corev1.Pod) {
	original := p.DeepCopy()
	store := watchsource.NewStore(watchsource.WithLogger(logr.Discard()))
	store.UpdatePod(p)
	e := onlyExecutor(t, store)
	switch {
	case e.State >= watchsource.Deleted:
		t.Errorf("state %v", e.State)
	case e.State.Ended() != (e.State == watchsource.Succeeded || e.State == watchsource.Failed):
		t.Errorf("state %v, ended %v", e.State, e.State.Ended())
	case e.Terminating != (p.DeletionTimestamp != nil):
		t.Errorf("terminating %v, deletion timestamp %v", e.Terminating, p.DeletionTimestamp)
	case e.State == watchsource.Unknown && e.Problem == "" && !strings.EqualFold(string(p.Status.Phase), "Unknown"):
		t.Errorf("phase %q is no problem", p.Status.Phase)
	}
	if problem := contradiction(store.Snapshot()); problem != "" {
		t.Error(problem)
	}
	store.UpdatePod(p)
	if again := onlyExecutor(t, store); again != e {
		t.Errorf("read as %+v, and then as %+v", e, again)
	}
	for way, other := range otherWays(p) {
		got := onlyExecutor(t, other)
		got.Pod = e.Pod
		if got != e {
			t.Errorf("%s it is %+v, otherwise %+v", way, got, e)
		}
	}
	if !equalPods(p, original) {
		t.Error("the pod was changed")
	}
	store.DeletePod(p)
	if n := store.Snapshot().Len(); n != 0 {
		t.Errorf("%d executors after its deletion", n)
	}
}

// otherWays are those in which a pod can come to a store.
func otherWays(p *corev1.Pod) map[string]*watchsource.Store {
	quiet := watchsource.WithLogger(logr.Discard())
	listed, bare, trimmed := watchsource.NewStore(quiet), watchsource.NewStore(quiet, watchsource.WithoutPods()), watchsource.NewStore(quiet)
	listed.ReplaceSnapshot([]*corev1.Pod{p})
	bare.UpdatePod(p)
	watcher := watchsource.NewWatcher(trimmed, labels.Everything(), quiet, watchsource.WithTrimmedPods())
	watcher.Replace([]*corev1.Pod{p}, "")
	return map[string]*watchsource.Store{"listed": listed, "without pods": bare, "trimmed": trimmed}
}

func onlyExecutor(t *testing.T, store *watchsource.Store) watchsource.Executor {
	t.Helper()
	for e := range store.Snapshot().All() {
		return e
	}
	t.Fatal("the pod is not in the snapshot")
	return watchsource.Executor{}
}
