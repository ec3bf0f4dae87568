// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"encoding/json"
	"fmt"
	"iter"
	"slices"
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
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/internal/test/podtest"
)

// A Watcher and a Store must not panic and must stay consistent after any events of a
// watch. An older state must not replace a newer one. Six bytes of the input are one event.
func FuzzWatcher(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 0, 1, 10, 1, 0, 1, 0, 1, 11, 2, 0, 2, 0, 1, 12, 2, 0})             // added, modified, deleted
	f.Add([]byte{0, 1, 1, 10, 1, 0, 0, 1, 2, 12, 1, 0, 2, 1, 1, 11, 1, 0})             // one name, two pods
	f.Add([]byte{1, 2, 1, 10, 3, 0, 1, 2, 1, 9, 1, 0, 6, 0, 0, 0, 0, 0})               // an older state, a batch
	f.Add([]byte{0, 3, 0, 0, 1, 0, 1, 3, 0, 1, 2, 0, 1, 3, 0, 10, 3, 0})               // no UID, odd versions
	f.Add([]byte{5, 0xff, 1, 20, 2, 0, 5, 0, 1, 21, 2, 0, 4, 0, 0, 0, 0, 0})           // lists, an unknown event
	f.Add([]byte{3, 0, 0, 30, 0, 1, 3, 0, 0, 30, 0, 2, 7, 0, 0, 0, 0, 3})              // not a pod
	f.Add([]byte{0, 0, 1, 10, 2, 0x10, 1, 0, 1, 11, 3, 0x20, 1, 0, 1, 12, 3, 0x10, 6}) // labels that change
	f.Fuzz(func(t *testing.T, script []byte) {
		h := newWatcherHarness(t)
		for ; len(script) >= 6; script = script[6:] {
			h.apply([6]byte(script))
		}
		h.readBatch()
	})
}

// watcherHarness feeds a Watcher with events, and checks the store that it writes to.
type watcherHarness struct {
	t            *testing.T
	store        *watchsource.Store
	watcher      *watchsource.Watcher
	reader       *modeltest.BatchChecker
	pull         func() (watchsource.Batch, bool)
	reads        int
	lastSnapshot watchsource.Snapshot
}

func newWatcherHarness(t *testing.T) *watcherHarness {
	store := watchsource.NewStore(watchsource.WithLogger(logr.Discard()))
	next, stop := iter.Pull(store.Batches(t.Context(), 0))
	t.Cleanup(stop)
	h := &watcherHarness{
		t: t, store: store, pull: next,
		watcher: watchsource.NewWatcher(store, selectorOf(t, executors), watchsource.WithLogger(logr.Discard())),
		reader:  modeltest.NewBatchChecker(t.Errorf, 0),
	}
	h.nextBatch()
	return h
}

// apply decodes and performs one step: an event, a full list or a read.
func (h *watcherHarness) apply(code [6]byte) {
	switch code[0] % 8 {
	case 5:
		var pods []*corev1.Pod
		for i := range 8 {
			if code[1]>>i&1 != 0 {
				pods = append(pods, fuzzPod(byte(i), code[2], code[3], code[4]+byte(i), code[5]))
			}
		}
		h.watcher.Replace(pods, fuzzVersion(code[3]))
		h.lastSnapshot, h.reader.AllowOlder = watchsource.Snapshot{}, true // a list may begin a new history
	case 6:
		h.readBatch()
	default:
		event := fuzzEvent(code)
		err := h.watcher.Receive(event)
		switch pod, ok := event.Object.(*corev1.Pod); {
		case err != nil && !strings.HasPrefix(err.Error(), "watchsource: "):
			h.t.Errorf("Receive = %v, want an error that begins with \"watchsource: \"", err)
		case (err == nil) != (ok && pod != nil && code[0]%8 < 4):
			h.t.Errorf("Receive of a %v event with %T = %v, want nil only for a known type with a pod", event.Type, event.Object, err)
		}
	}
	h.checkSnapshot()
}

func (h *watcherHarness) checkSnapshot() {
	h.t.Helper()
	now := h.store.Snapshot()
	if problem := modeltest.Inconsistency(now); problem != "" {
		h.t.Errorf("the snapshot is inconsistent: %s", problem)
	}
	if problem := modeltest.Regression(h.lastSnapshot, now); problem != "" {
		h.t.Errorf("the store went back: %s", problem)
	}
	h.lastSnapshot = now
}

// readBatch changes the store, so that there is a batch, and checks the batch.
func (h *watcherHarness) readBatch() {
	h.reads++
	h.store.UpdatePod(pod("sentinel", uid(fmt.Sprint("sentinel", h.reads))))
	h.nextBatch()
}

func (h *watcherHarness) nextBatch() {
	batch, ok := h.pull()
	if !ok {
		h.t.Fatal("Batches ended, want another batch")
	}
	h.reader.Check(batch)
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

// fuzzPod returns one of few pods, so that many events concern the same pod.
func fuzzPod(name, uid, resourceVersion, phase, flags byte) *corev1.Pod {
	p := pod(fmt.Sprint(name%8), version(fuzzVersion(resourceVersion)))
	if uid %= 4; uid != 0 {
		p.UID = types.UID(fmt.Sprintf("%s-%d", p.Name, uid))
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

// fuzzVersion returns a resource version: usually a number, of one to three digits.
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

// A store makes a consistent executor of any pod, and returns the pod without its managedFields.
// The executor is the same if the pod is listed, trimmed, or not kept.
func FuzzExecutor(f *testing.F) {
	for _, p := range fuzzSeeds() {
		if text, err := json.Marshal(p); err == nil { // not each pod can be JSON
			f.Add(text)
		}
		bytes, err := p.Marshal()
		if err != nil {
			f.Fatal(err)
		}
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
		checkExecutor(t, p, watchsource.WithExecutorContainerFunc(lastOf), watchsource.WithExecutorIDLabel(""))
		checkExecutor(t, p, watchsource.WithExecutorContainer("logs", "sidecar", executorContainer), watchsource.WithExecutorContainerOnly())
	})
}

func fuzzSeeds() []*corev1.Pod {
	failed := pod("2", phase(corev1.PodRunning), container(executorContainer, running()), container("logs", ended(1, "Error")))
	return []*corev1.Pod{
		{},
		podtest.Executor(1, 1, true), podtest.FilledForJSON(1),
		podtest.Filled(2), podtest.Filled(3),
		pod("1", condition(corev1.PodScheduled, corev1.ConditionFalse, "Unschedulable")),
		failed,
		pod("3", phase(corev1.PodFailed), container(executorContainer, ended(137, "OOMKilled")), deleting),
		pod("4", phase(corev1.PodRunning), initContainer(executorContainer, "Always", ended(0, "Completed"))),
		pod("EXECID", phase("odd"), status("Evicted", "no room")),
		pod("5", container(executorContainer, waiting("ImagePullBackOff")), containerPolicy(executorContainer, "Never")),
	}
}

func checkExecutor(t *testing.T, p *corev1.Pod, options ...watchsource.StoreOption) {
	original := p.DeepCopy()
	options = append(options, watchsource.WithLogger(logr.Discard()))
	store := watchsource.NewStore(options...)
	store.UpdatePod(p)
	e := onlyExecutor(t, store)
	switch {
	case e.State >= watchsource.Deleted:
		t.Errorf("state %v, want one before Deleted", e.State)
	case e.State.Ended() != (e.State == watchsource.Succeeded || e.State == watchsource.Failed):
		t.Errorf("state %v, ended %v, want true for Succeeded and Failed only", e.State, e.State.Ended())
	case e.Terminating != (p.DeletionTimestamp != nil):
		t.Errorf("terminating %v, want %v: the deletion timestamp is %v", e.Terminating, p.DeletionTimestamp != nil, p.DeletionTimestamp)
	case e.State == watchsource.Unknown && e.Problem == "" && !strings.EqualFold(string(p.Status.Phase), "Unknown"):
		t.Errorf("problem \"\" for phase %q, want one", p.Status.Phase)
	}
	if problem := modeltest.Inconsistency(store.Snapshot()); problem != "" {
		t.Error(problem)
	}
	store.UpdatePod(p)
	if again := onlyExecutor(t, store); !again.Equal(e) {
		t.Errorf("the same pod gave %+v the second time, want %+v", again, e)
	}
	checkPod(t, e, original)
	for form, other := range otherStores(t, p, options) {
		got := onlyExecutor(t, other)
		if !got.Equal(e) {
			t.Errorf("%s: the executor is %+v, want %+v", form, got, e)
		}
		if form != "without pods" {
			checkPod(t, got, original)
		} else if hasPod(t, got) {
			t.Errorf("%s: the executor has a pod, want none", form)
		}
	}
	if !podtest.Equal(p, original) {
		t.Errorf("the pod is now %+v, want it unchanged: %+v", p, original)
	}
	store.DeletePod(p)
	if n := store.Snapshot().Len(); n != 0 {
		t.Errorf("%d executors after the deletion, want 0", n)
	}
}

// checkPod checks what an executor returns of its pod. A reader may change the pod.
func checkPod(t *testing.T, e watchsource.Executor, p *corev1.Pod) {
	t.Helper()
	for range 2 {
		got := keptPod(t, e)
		wantPod(t, got, p, true)
		clear(got.Labels)
		got.Status.Conditions, got.Spec.Containers = nil, nil
	}
	for key, want := range p.Labels {
		if value, ok := e.Label(key); value != want || !ok {
			t.Errorf("Label(%q) = %q, %v, want %q, true", key, value, ok, want)
		}
	}
	for key, want := range p.Annotations {
		if value, ok := e.Annotation(key); value != want || !ok {
			t.Errorf("Annotation(%q) = %q, %v, want %q, true", key, value, ok, want)
		}
	}
}

// otherStores returns stores that received the pod in another way, or keep less of it.
func otherStores(t *testing.T, p *corev1.Pod, options []watchsource.StoreOption) map[string]*watchsource.Store {
	quiet := watchsource.WithLogger(logr.Discard())
	listed, trimmed := watchsource.NewStore(options...), watchsource.NewStore(options...)
	bare := watchsource.NewStore(append(slices.Clip(options), watchsource.WithoutPods())...)
	listed.ReplaceSnapshot([]*corev1.Pod{p})
	bare.UpdatePod(p)
	watcher := watchsource.NewWatcher(trimmed, labels.Everything(), quiet, watchsource.WithTrimmedPods())
	watcher.Replace([]*corev1.Pod{p}, "")
	wired := watchsource.NewStore(options...)
	watcher = watchsource.NewWatcher(wired, labels.Everything(), quiet)
	if err := watcher.Receive(watch.Event{Type: watch.Added, Object: inWireForm(t, p)}); err != nil {
		t.Fatal(err)
	}
	return map[string]*watchsource.Store{"listed": listed, "without pods": bare, "trimmed": trimmed, "in its wire form": wired}
}

func onlyExecutor(t *testing.T, store *watchsource.Store) watchsource.Executor {
	t.Helper()
	for e := range store.Snapshot().All() {
		return e
	}
	t.Fatal("the snapshot is empty, want the pod in it")
	return watchsource.Executor{}
}
