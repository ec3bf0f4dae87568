// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"
	runtimecache "sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/podtest"
)

// wantedPods are what a consumer keeps of the pods.
type wantedPods struct {
	managedFields bool // are kept
	trimmed       bool
	none          bool // only the executors
	list          bool // needs a list
	decodeEvery   int  // of so many changes one pod is decoded by Executor.Pod, none if 0
}

var wantedOf = map[string]wantedPods{
	"watch":                         {managedFields: true},
	"retrywatcher":                  {managedFields: true, list: true},
	"informer":                      {managedFields: true},
	"informer-stripped":             {},
	"controller-runtime":            {managedFields: true},
	"watchsource":                   {},
	"watchsource-decoding":          {decodeEvery: 1},
	"watchsource-decoding-1-in-100": {decodeEvery: 100},
	"watchsource-podless":           {none: true},
	"watchsource-own-store":         {},
	"watchsource-own-store-trimmed": {trimmed: true},
}

// Each consumer shows its user the last version of each pod, and keeps the pods that
// client-go decodes from the last frames.
func TestConsumersKeepThePods(t *testing.T) {
	for _, c := range consumers {
		if c.name == floorName {
			continue // it keeps nothing
		}
		want, ok := wantedOf[c.name]
		if !ok {
			t.Errorf("there is no expectation of the consumer %s", c.name)
		}
		t.Run(c.name, func(t *testing.T) { testConsumer(t, c, want, "", 120, 200) })
		if !want.list {
			t.Run(c.name+", mixed kinds", func(t *testing.T) { testConsumer(t, c, want, "mixed", 40, 60) })
		}
	}
}

func testConsumer(t *testing.T, c consumer, want wantedPods, kind string, pods, updates int) {
	s, a := newKindScript(t, kind, pods, updates)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	e, err := a.env()
	if err != nil {
		t.Fatal(err)
	}
	r := newReplay(s, true)
	e.config, e.recorder = startReplayServer(t, r), newRecorder(true, 1)
	e.client = newClient(t, e.config)
	view, err := c.start(ctx, e)
	if err != nil {
		t.Fatal(err)
	}
	r.release()
	<-e.recorder.ended
	if err := e.recorder.err(); err != nil {
		t.Fatal(err)
	}
	wanted, shown := lastPods(t, s), map[string]string{}
	for _, seen := range e.recorder.samples {
		shown[seen.Pod] = seen.Version
	}
	kept := podsIn(t, view, wanted, want.none)
	if len(kept) != pods {
		t.Errorf("%d pods are kept, want %d", len(kept), pods)
	}
	for name, pod := range wanted {
		if shown[name] != pod.ResourceVersion {
			t.Errorf("pod %s was last shown at version %q, want %s", name, shown[name], pod.ResourceVersion)
		}
		if want.none {
			continue
		}
		if !want.managedFields {
			pod.ManagedFields = nil
		}
		if want.trimmed {
			pod.Spec = podtest.TrimmedSpec(pod)
		}
		if got := kept[name]; got == nil || !podtest.Equal(got, pod) {
			t.Errorf("kept of %s:\n%v\nwant:\n%v", name, got, pod)
		}
	}
	checkDecoded(t, s, want.decodeEvery, int(e.recorder.decoded.Load()))
}

// checkDecoded checks the number of calls of Executor.Pod. A reader is shown each pod of the
// view, then each pod that is updated once at least and each update once at most, and the
// marker.
func checkDecoded(t *testing.T, s *script, decodeEvery, calls int) {
	t.Helper()
	if decodeEvery == 0 {
		if calls != 0 {
			t.Errorf("%d calls of Executor.Pod, want none", calls)
		}
		return
	}
	updated := map[int]bool{}
	for j := range s.updates {
		updated[s.updatedPod(j)] = true
	}
	least, most := (s.pods+len(updated)+1)/decodeEvery, (s.pods+s.updates+1)/decodeEvery
	if calls < least || calls > most {
		t.Errorf("%d calls of Executor.Pod, want %d to %d", calls, least, most)
	}
}

// newKindScript returns a script with pods of a kind, "" for executors of Spark.
func newKindScript(t *testing.T, kind string, pods, updates int) (*script, assignment) {
	t.Helper()
	s := newScript(pods, updates, 1)
	if kind != "" {
		known, err := kindNamed(kind)
		if err != nil {
			t.Fatal(err)
		}
		s.kind = &known
	}
	return s, assignment{pods: pods, updates: updates, apps: 1, kind: kind}
}

// lastPods decodes the last frame of each pod with client-go.
func lastPods(t *testing.T, s *script) map[string]*corev1.Pod {
	t.Helper()
	pods := map[string]*corev1.Pod{}
	for _, frame := range s.lastFrames() {
		object, err := objectOf(frame)
		if err != nil {
			t.Fatal(err)
		}
		decoded, _, err := decoder.Decode(object, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		pod := decoded.(*corev1.Pod)
		pods[pod.Name] = pod
	}
	return pods
}

// podsIn returns the pods in the view of a consumer without the marker. If there are to be
// none, their values are nil.
func podsIn(t *testing.T, view any, wanted map[string]*corev1.Pod, none bool) map[string]*corev1.Pod {
	t.Helper()
	pods := map[string]*corev1.Pod{}
	keep := func(name string, pod *corev1.Pod) {
		if !strings.HasPrefix(name, markerName) {
			pods[name] = pod
		}
	}
	switch view := view.(type) {
	case podMap:
		for name, pod := range view {
			keep(name.Name, pod)
		}
	case *podStore:
		return podsIn(t, view.pods, wanted, none)
	case cache.SharedIndexInformer:
		for _, object := range view.GetStore().List() {
			pod := object.(*corev1.Pod)
			keep(pod.Name, pod)
		}
	case runtimecache.Cache:
		for name := range wanted { // a list would need the mapping of the kind PodList
			var pod corev1.Pod
			if err := view.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, &pod); err != nil {
				t.Fatal(err)
			}
			keep(name, &pod)
		}
	case *watchsource.Store:
		for executor := range view.Snapshot().All() {
			if executor.Problem != "" || executor.ID == "" {
				t.Errorf("executor %s has the id %q and the problem %q", executor.Name, executor.ID, executor.Problem)
			}
			pod, err := executor.Pod()
			if none != errors.Is(err, watchsource.ErrNoPod) || !none && err != nil {
				t.Errorf("Pod of %s: error %v, want ErrNoPod: %t", executor.Name, err, none)
			}
			keep(executor.Name, pod)
		}
	default:
		t.Fatalf("a view of the type %T", view)
	}
	return pods
}

// A consumer that cannot decode a pod ends with the cause, and does not wait for the marker.
func TestDecodingFails(t *testing.T) {
	s, a := newKindScript(t, "", 5, 5)
	e, err := a.env()
	if err != nil {
		t.Fatal(err)
	}
	e.config, e.recorder = startReplayServer(t, newReplay(s, true)), newRecorder(false, 1)
	e.client = newClient(t, e.config)
	if _, err := runWatchsource(t.Context(), e, watchsource.NewStore(watchsource.WithoutPods()), 1); err != nil {
		t.Fatal(err)
	}
	<-e.recorder.ended
	if err := e.recorder.err(); !errors.Is(err, watchsource.ErrNoPod) {
		t.Errorf("the recorder has the error %v, want ErrNoPod", err)
	}
}
