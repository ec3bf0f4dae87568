// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/integration/agreement"
	"github.com/executorpods/watchsource/integration/kubelet"
	"github.com/executorpods/watchsource/internal/test/podtest"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const (
	executors = 200
	lastID    = 999 // of the executor that tells readers that it is over
)

// A fate is what happens to the executors with these ids. The rest run until the
// end.
type fate struct{ from, to int }

func (f fate) size() int { return f.to - f.from }

var (
	failing    = fate{0, 20}
	outOfMem   = fate{20, 30}
	succeeding = fate{30, 50}
	evicted    = fate{50, 55}
	drained    = fate{60, 80}
	killed     = fate{80, 100}
	relabelled = fate{100, 105}
	replaced   = fate{110, 115}
)

// application is the life of one application, seen by many.
type application struct {
	client    kubernetes.Interface
	namespace string
	consumers []*consumer
	pods      []*corev1.Pod // by executor id, as last created

	ends, gone map[types.UID]int // what a reader has to see in the end
}

// Guarantees 1 to 4: whatever happens to the executors of an application, and
// however it is watched, the store is what the server lists, and readers see
// every end and every disappearance once.
func TestLifeOfAnApplication(t *testing.T) {
	client := admin(t)
	a := &application{client: client, namespace: newNamespace(t, client), ends: map[types.UID]int{}, gone: map[types.UID]int{}}
	elsewhere := newNamespace(t, client)
	a.makeNoise(t, elsewhere)
	a.watch(t)
	results := a.read(t)
	stopAudit := a.audit(t)

	a.phase(t, "created", a.create)
	runKubelet(t, a.client, a.namespace)
	a.phase(t, "running or ended", func(*testing.T) {})
	a.phase(t, "evicted", a.evict)
	a.phase(t, "deleted", a.delete)
	a.phase(t, "relabelled", a.relabel)
	a.phase(t, "replaced", a.replace)
	a.phase(t, "gone", a.end)
	t.Logf("%d snapshots taken in the middle of it equal the list at their resource version", stopAudit())

	create(t, client, executorPod(a.namespace, appID, lastID))
	for _, result := range results {
		a.checkCounts(t, <-result)
	}
	t.Logf("%d readers saw %d ends and %d pods disappear", len(results), len(a.ends), len(a.gone))
	for _, w := range a.consumers {
		status := w.source.Status()
		t.Logf("%-40s %d events, %d lists, %d resumes, %d errors", w.name, status.Events, status.Lists, status.Resumes, status.Errors)
		if !w.forgetful && status.Relists != 0 {
			t.Errorf("%s: %d relists, want 0", w.name, status.Relists)
		}
	}
}

// checkCounts compares what a reader saw with what happened. Where the watch
// cannot be resumed, what began and ended between two watches was never shown.
func (a *application) checkCounts(t *testing.T, seen readerCounts) {
	t.Helper()
	for _, change := range seen.broken {
		t.Errorf("%s: a change of %s does not continue from the one before: %+v", seen.reader, change.After.Name, change)
	}
	if seen.forgetful {
		a.forgive(&seen)
	}
	if diff := cmp.Diff(a.ends, seen.ends); diff != "" {
		t.Errorf("%s: ends (-expected +seen):\n%s", seen.reader, diff)
	}
	if diff := cmp.Diff(a.gone, seen.gone); diff != "" {
		t.Errorf("%s: disappearances (-expected +seen):\n%s", seen.reader, diff)
	}
}

// forgive adds what may be missing.
func (a *application) forgive(seen *readerCounts) {
	for _, pod := range a.of(drained) {
		seen.ends[pod.UID] = max(seen.ends[pod.UID], 1)
	}
	for _, pod := range a.of(relabelled) {
		if seen.gone[pod.UID] == 1 {
			seen.gone[pod.UID] = 2
		}
	}
}

// makeNoise creates what must not be seen, or only by who watches all namespaces.
func (a *application) makeNoise(t *testing.T, elsewhere string) {
	create(t, a.client,
		driverPod(a.namespace, appID),
		executorPod(a.namespace, otherApp, 1),
		executorPod(a.namespace, otherApp, 2),
		executorPod(elsewhere, appID, 1),
		executorPod(elsewhere, appID, 2),
	)
}

func (a *application) watch(t *testing.T) {
	config := server.Config()
	protobuf, json := speaking(config, asProtobuf), speaking(config, asJSON)
	for _, how := range []struct {
		name      string
		config    *rest.Config
		namespace string
		trimmed   bool // as for a store of the user
		forgetful bool
		shared    bool // the source of a SharedWatch
	}{
		{name: "protobuf", config: protobuf, namespace: a.namespace},
		{name: "protobuf, trimmed", config: protobuf, namespace: a.namespace, trimmed: true},
		{name: "protobuf, all namespaces", config: protobuf, namespace: metav1.NamespaceAll},
		{name: "protobuf, plain lists", config: altered(protobuf, refusingStreamedLists), namespace: a.namespace},
		{name: "protobuf, watches that last 2 s", config: shortWatches(protobuf), namespace: a.namespace},
		{name: "protobuf, watches that cannot be resumed", config: altered(shortWatches(protobuf), refusingResumes()), namespace: a.namespace, forgetful: true},
		{name: "JSON", config: json, namespace: a.namespace},
		{name: "JSON, trimmed", config: json, namespace: a.namespace, trimmed: true},
		{name: "shared watch, protobuf", config: protobuf, namespace: a.namespace, shared: true},
		{name: "shared watch, protobuf, all namespaces", config: protobuf, namespace: metav1.NamespaceAll, shared: true},
		{name: "shared watch, watches that last 2 s", config: shortWatches(protobuf), namespace: a.namespace, shared: true},
		{name: "shared watch, JSON, plain lists", config: altered(json, refusingStreamedLists), namespace: a.namespace, shared: true},
		{name: "JSON, trimmed, plain lists", config: altered(json, refusingStreamedLists), namespace: a.namespace, trimmed: true},
	} {
		construct := newConsumer
		switch {
		case how.shared:
			construct = newSharedConsumer
		case how.trimmed:
			construct = newTrimmedConsumer
		}
		w := construct(t, how.name, how.config, how.namespace)
		w.forgetful = how.forgetful
		a.consumers = append(a.consumers, w)
	}
}

// read starts a quick and a slow reader of each consumer, except the consumer that sees the
// other namespace too.
func (a *application) read(t *testing.T) (results []<-chan readerCounts) {
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	t.Cleanup(cancel)
	until := executorPod(a.namespace, appID, lastID).Name
	for _, w := range a.consumers {
		if w.namespace == metav1.NamespaceAll {
			continue
		}
		for _, interval := range []time.Duration{0, 3 * time.Second} {
			result := make(chan readerCounts, 1)
			go func() { result <- w.count(ctx, interval, until) }()
			results = append(results, result)
		}
	}
	return results
}

// audit compares snapshots taken at any moment, until it is stopped.
func (a *application) audit(t *testing.T) (stop func() int) {
	ctx, cancel := context.WithCancel(t.Context())
	var working sync.WaitGroup
	compared := 0
	working.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			w := a.consumers[i%len(a.consumers)]
			snapshot, superseded := w.store.Latest()
			if snapshot.ResourceVersion() == "" {
				continue
			}
			switch diff, err := agreement.Difference(ctx, a.client.CoreV1().Pods(w.namespace), executorSelector(appID), snapshot, w.trimmed); {
			case ctx.Err() != nil:
				return
			case err != nil:
				t.Error(err)
				return
			case diff != "":
				t.Errorf("the server and %s differ %s", w.name, diff)
				return
			}
			compared++
			select {
			case <-superseded:
			case <-ctx.Done():
			}
		}
	})
	stop = func() int {
		cancel()
		working.Wait()
		return compared
	}
	t.Cleanup(func() { stop() })
	return stop
}

func (a *application) phase(t *testing.T, name string, do func(*testing.T)) {
	t.Helper()
	begin := time.Now()
	do(t)
	a.settle(t, name)
	for _, w := range a.consumers {
		w.mustAgree(t, a.client, name)
	}
	t.Logf("%-20s %v", name, time.Since(begin).Round(time.Millisecond))
}

// settle waits until the kubelet has nothing left to do.
func (a *application) settle(t *testing.T, phase string) {
	t.Helper()
	w := a.consumers[0]
	running := executors - failing.size() - outOfMem.size() - succeeding.size()
	failed := failing.size() + outOfMem.size()
	want := map[string][4]int{ // pending, running, succeeded, failed
		"created":          {executors, 0, 0, 0},
		"running or ended": {0, running, succeeding.size(), failed},
		"evicted":          {0, running - evicted.size(), succeeding.size(), failed + evicted.size()},
		"deleted":          {0, running - evicted.size() - drained.size() - killed.size(), succeeding.size(), failed + evicted.size()},
	}
	want["relabelled"] = want["deleted"]
	want["replaced"] = want["deleted"]
	const work = 2 * time.Minute // for the kubelet, on a machine that builds something at the same time
	w.waitWithin(t, work, fmt.Sprintf("%s: %v", phase, want[phase]), func(s watchsource.Snapshot) bool {
		return want[phase] == [4]int{s.Count(watchsource.Pending), s.Count(watchsource.Running), s.Count(watchsource.Succeeded), s.Count(watchsource.Failed)}
	})
}

func (a *application) create(t *testing.T) {
	pods := make([]*corev1.Pod, executors)
	for id := range pods {
		pods[id] = executorPod(a.namespace, appID, id)
	}
	a.doom(pods, failing, "1")
	a.doom(pods, outOfMem, "137")
	a.doom(pods, succeeding, "0")
	a.pods = create(t, a.client, pods...)
	for id, pod := range a.pods {
		a.gone[pod.UID] = 1
		if id < succeeding.to {
			a.ends[pod.UID] = 1
		}
	}
}

func (a *application) doom(pods []*corev1.Pod, f fate, exitCode string) {
	for _, pod := range pods[f.from:f.to] {
		podtest.Annotation(kubelet.AnnotationRunFor, "1s")(pod)
		podtest.Annotation(kubelet.AnnotationExitCode, exitCode)(pod)
	}
}

// evict writes what a kubelet writes that runs out of disk.
func (a *application) evict(t *testing.T) {
	for _, pod := range a.of(evicted) {
		a.ends[pod.UID] = 1
	}
	inParallel(t, evicted.size(), func(i int) error {
		pod := a.of(evicted)[i]
		pods := a.client.CoreV1().Pods(a.namespace)
		current, err := pods.Get(t.Context(), pod.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		current.Status.Phase = corev1.PodFailed
		current.Status.Reason = "Evicted"
		current.Status.Message = "The node was low on resource: ephemeral-storage."
		current.Status.Conditions = append(current.Status.Conditions, corev1.PodCondition{
			Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "TerminationByKubelet",
		})
		_, err = pods.UpdateStatus(t.Context(), current, metav1.UpdateOptions{})
		return err
	})
}

func (a *application) delete(t *testing.T) {
	for _, pod := range a.of(drained) {
		a.ends[pod.UID] = 1 // with 143, before it goes
	}
	remove(t, a.client, gracefully, a.of(drained)...)
	remove(t, a.client, byForce, a.of(killed)...)
}

func (a *application) of(f fate) []*corev1.Pod { return a.pods[f.from:f.to] }

// relabel takes executors out of the selector and back, as for a quarantine.
func (a *application) relabel(t *testing.T) {
	w := a.consumers[0]
	before := w.store.Snapshot().Len()
	for _, step := range []struct {
		role string
		want int
	}{
		{role: "quarantined", want: before - relabelled.size()},
		{role: watchsource.RoleExecutor, want: before},
	} {
		patch := fmt.Appendf(nil, `{"metadata":{"labels":{%q:%q}}}`, watchsource.LabelRole, step.role)
		inParallel(t, relabelled.size(), func(i int) error {
			_, err := a.client.CoreV1().Pods(a.namespace).Patch(t.Context(), a.of(relabelled)[i].Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
			return err
		})
		w.waitFor(t, "pods labelled "+step.role, func(s watchsource.Snapshot) bool { return s.Len() == step.want })
	}
	for _, pod := range a.of(relabelled) {
		a.gone[pod.UID]++
	}
}

// replace gives the names of executors to new pods.
func (a *application) replace(t *testing.T) {
	remove(t, a.client, byForce, a.of(replaced)...)
	again := make([]*corev1.Pod, replaced.size())
	for i := range again {
		again[i] = executorPod(a.namespace, appID, replaced.from+i)
	}
	for i, pod := range create(t, a.client, again...) {
		a.pods[replaced.from+i] = pod
		a.gone[pod.UID] = 1
	}
	a.consumers[0].waitFor(t, "the new pods", func(s watchsource.Snapshot) bool {
		for _, pod := range a.of(replaced) {
			if e, _ := s.Get(pod.Name); e.UID != pod.UID {
				return false
			}
		}
		return true
	})
}

func (a *application) end(t *testing.T) {
	a.checkReasons(t)
	clearNamespace(t, a.client, a.namespace)
}

// checkReasons looks at the words that a scheduler would show its user.
func (a *application) checkReasons(t *testing.T) {
	type end struct {
		State    watchsource.State
		ExitCode int32
		Reason   string
	}
	for _, test := range []struct {
		fate fate
		want end
	}{
		{fate: failing, want: end{State: watchsource.Failed, ExitCode: 1, Reason: "Error"}},
		{fate: outOfMem, want: end{State: watchsource.Failed, ExitCode: 137, Reason: "OOMKilled"}},
		{fate: succeeding, want: end{State: watchsource.Succeeded, ExitCode: 0, Reason: "Completed"}},
		{fate: evicted, want: end{State: watchsource.Failed, ExitCode: watchsource.UnknownExitCode, Reason: "Evicted"}},
	} {
		for _, pod := range a.of(test.fate) {
			e, _ := a.consumers[0].store.Snapshot().Get(pod.Name)
			if diff := cmp.Diff(test.want, end{State: e.State, ExitCode: e.ExitCode, Reason: e.Reason}); diff != "" {
				t.Errorf("%s (-want +got):\n%s", pod.Name, diff)
			}
		}
	}
}
