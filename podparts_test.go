// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/podtest"
)

// lookAlikes are entries of which one is easily taken for another: a key that begins or ends with
// another, a value that is a key, an encoded entry as a value, and empty keys and values.
func lookAlikes() map[string]string {
	return map[string]string{
		"team":             "data",
		"tea":              "",
		"team/":            "with a slash",
		"team/a":           "a",
		"team/ab":          "ab",
		"steam":            "s",
		"Team":             "capital",
		"data":             "team",
		"":                 "no key",
		"empty":            "",
		"encoded":          "\n\x04tail\x12\x01x",
		"equal":            "equal",
		"umlaut/ä":         "ö",
		"example.com/long": string(make([]byte, 300)),
	}
}

// wantLabels fails unless Label and Annotation find exactly the entries of the pod's maps.
func wantLabels(t *testing.T, e watchsource.Executor, p *corev1.Pod) {
	t.Helper()
	for _, lookup := range []struct {
		name    string
		find    func(key string) (string, bool)
		entries map[string]string
	}{{"Label", e.Label, p.Labels}, {"Annotation", e.Annotation, p.Annotations}} {
		keys := maps.Clone(lookAlikes())
		maps.Copy(keys, p.Labels)
		maps.Copy(keys, p.Annotations)
		for key := range maps.Clone(keys) {
			keys[key+"x"], keys["x"+key] = "", ""
			if key != "" {
				keys[key[:len(key)-1]], keys[key[1:]] = "", ""
			}
		}
		for key := range keys {
			want, there := lookup.entries[key]
			if value, ok := lookup.find(key); value != want || ok != there {
				t.Errorf("%s: %s(%q) = %q, %v, want %q, %v", versionKey(e.Name, e.ResourceVersion), lookup.name, key, value, ok, want, there)
			}
		}
	}
}

// Label and Annotation find the entries of the pod's maps and nothing else: in each state of a pod,
// after a change of labels only or of annotations only, for deleted executors and after Stop.
func TestLabelsAndAnnotations(t *testing.T) {
	eachPodWay(t, func(t *testing.T, way podWay) {
		pods := versionsOf(way.server)
		labelled, annotated, both := podtest.Executor(1, 1, true), podtest.Executor(2, 1, true), podtest.Executor(3, 1, true)
		labelled.Labels, annotated.Annotations = lookAlikes(), lookAlikes()
		both.Labels = map[string]string{"team": "label", "label": "only"}
		both.Annotations = map[string]string{"team": "annotation", "annotation": "only"}
		for name, p := range map[string]*corev1.Pod{
			"labelled": labelled, "annotated": annotated, "both": both, "none": pod("1"), "bare": {},
			"filled": way.filled(1), "odd": way.filled(2),
		} {
			pods.create(executorOf(p, name))
		}
		store := watchsource.NewStore(watchsource.WithLogger(logr.Discard()))
		seen := watchStore(t, store)
		source := way.start(t, store)
		seen.wait()
		for _, change := range []func(*corev1.Pod){
			label("team", "longer than it was"),
			label("new", ""),
			func(p *corev1.Pod) { delete(p.Labels, "team") },
			podtest.Annotation("team", "longer than it was"),
			podtest.Annotation("new", ""),
			func(p *corev1.Pod) { delete(p.Annotations, "team") },
			func(p *corev1.Pod) { p.Annotations = nil },
			func(p *corev1.Pod) { p.Annotations = lookAlikes() },
			phase(corev1.PodFailed),
		} {
			for _, name := range []string{"labelled", "annotated", "both", "none", "bare"} {
				pods.update(name, change)
			}
			seen.wait()
		}
		pods.delete("both")
		seen.wait()
		seen.in(t, "both", watchsource.Deleted)
		source.Stop()
		for _, e := range seen.all {
			wantLabels(t, e, pods.pods[versionKey(e.Name, e.ResourceVersion)])
		}
	})
}

// The lookup of a label does not decode the pod.
func TestLabelIsReadWithoutDecoding(t *testing.T) {
	eachPodWay(t, func(t *testing.T, way podWay) {
		const limit = 2 // allocations; a decoded pod needs more than a hundred
		way.server.Create(executorOf(podtest.Executor(1, 1, true), "1"))
		store := watchsource.NewStore()
		way.start(t, store).Stop()
		e := onlyExecutor(t, store)
		for name, find := range map[string]func(key string) (string, bool){"Label": e.Label, "Annotation": e.Annotation} {
			for _, key := range []string{watchsource.LabelExecutorID, "prometheus.io/path", "missing"} {
				if n := testing.AllocsPerRun(10, func() { find(key) }); n > limit {
					t.Errorf("%s(%q) allocates %v times, want at most %d", name, key, n, limit)
				}
			}
		}
	})
}

// Pods without any labels are in no watch. A program may pass them to a store.
func TestLabelsOfAPodWithoutLabels(t *testing.T) {
	for _, p := range []*corev1.Pod{{}, {Spec: pod("1").Spec}} {
		store := watchsource.NewStore(watchsource.WithLogger(logr.Discard()))
		store.UpdatePod(p)
		wantLabels(t, onlyExecutor(t, store), p)
	}
}

// ready adds the condition Ready.
func ready(status corev1.ConditionStatus) func(*corev1.Pod) {
	return condition(corev1.PodReady, status, "")
}

// readinesses are the cases of TestReady.
var readinesses = []struct {
	name string
	pod  *corev1.Pod
	want bool
}{
	{name: "no-condition", pod: pod("1")},
	{name: "runs-without-condition", pod: pod("1", phase(corev1.PodRunning), container(executorContainer, running()))},
	{name: "false", pod: pod("1", ready(corev1.ConditionFalse))},
	{name: "unknown", pod: pod("1", ready(corev1.ConditionUnknown))},
	{name: "no-status", pod: pod("1", ready(""))},
	{name: "lower-case", pod: pod("1", ready("true"))},
	{name: "true", pod: pod("1", ready(corev1.ConditionTrue)), want: true},
	{
		name: "true-and-running",
		pod:  pod("1", phase(corev1.PodRunning), container(executorContainer, running()), ready(corev1.ConditionTrue)),
		want: true,
	},
	{name: "true-while-deleting", pod: pod("1", ready(corev1.ConditionTrue), deleting), want: true},
	{
		name: "before-another",
		pod:  pod("1", ready(corev1.ConditionTrue), condition(corev1.ContainersReady, corev1.ConditionFalse, "")),
		want: true,
	},
	{
		name: "after-another",
		pod:  pod("1", condition(corev1.ContainersReady, corev1.ConditionFalse, ""), ready(corev1.ConditionTrue)),
		want: true,
	},
	{name: "another-only", pod: pod("1", condition(corev1.ContainersReady, corev1.ConditionTrue, ""))},
	{
		name: "false-beside-others",
		pod: pod("1", condition(corev1.PodScheduled, corev1.ConditionTrue, ""), ready(corev1.ConditionFalse),
			condition(corev1.ContainersReady, corev1.ConditionTrue, "")),
	},
	{name: "gate", pod: pod("1", condition("example.com/Ready", corev1.ConditionTrue, ""))},
}

// Ready follows the condition Ready, in each state of the pod and without pods.
func TestReady(t *testing.T) {
	eachPodWay(t, func(t *testing.T, way podWay) {
		for _, test := range readinesses {
			way.server.Create(executorOf(test.pod.DeepCopy(), test.name))
		}
		for _, options := range [][]watchsource.StoreOption{nil, {watchsource.WithoutPods()}} {
			store := watchsource.NewStore(options...)
			source := way.start(t, store)
			for _, test := range readinesses {
				listed, _ := store.Snapshot().Get(test.name)
				way.server.Update(podtest.Namespace, test.name, func(p *corev1.Pod) { // not ready, then as before
					p.Status = corev1.PodStatus{Phase: corev1.PodPending}
				})
				synctest.Wait()
				without, _ := store.Snapshot().Get(test.name)
				way.server.Update(podtest.Namespace, test.name, func(p *corev1.Pod) { p.Status = test.pod.DeepCopy().Status })
				synctest.Wait()
				again, _ := store.Snapshot().Get(test.name)
				if listed.Ready != test.want || without.Ready || again.Ready != test.want {
					t.Errorf("%s, %d options: ready %v, %v without a condition, %v with it again; want %v, false, %v",
						test.name, len(options), listed.Ready, without.Ready, again.Ready, test.want, test.want)
				}
			}
			source.Stop()
		}
	})
}

// A deleted executor is as ready as its last state was.
func TestReadyOfADeletedExecutor(t *testing.T) {
	eachPodWay(t, func(t *testing.T, way podWay) {
		for name, status := range map[string]corev1.ConditionStatus{"ready": corev1.ConditionTrue, "not-ready": corev1.ConditionFalse} {
			way.server.Create(executorOf(pod("1", condition(corev1.PodReady, status, "")), name))
		}
		store := watchsource.NewStore()
		seen := watchStore(t, store)
		way.start(t, store)
		for _, name := range []string{"ready", "not-ready"} {
			way.server.Delete(podtest.Namespace, name)
		}
		seen.wait()
		for _, name := range []string{"ready", "not-ready"} {
			if got, want := seen.in(t, name, watchsource.Deleted).Ready, name == "ready"; got != want {
				t.Errorf("%s: ready %v after the deletion, want %v", name, got, want)
			}
		}
	})
}

// partChanges are changes of one part of a pod each.
var partChanges = map[string]func(p *corev1.Pod){
	"status, the phase":         phase(corev1.PodFailed),
	"status, a condition":       condition("example.com/Gate", corev1.ConditionTrue, "Opened"),
	"status, a condition less":  func(p *corev1.Pod) { p.Status.Conditions = p.Status.Conditions[1:] },
	"status, a container":       func(p *corev1.Pod) { p.Status.ContainerStatuses[0].State = ended(137, "OOMKilled") },
	"status, an address":        func(p *corev1.Pod) { p.Status.PodIP, p.Status.PodIPs = "10.255.255.255", nil },
	"status, none":              func(p *corev1.Pod) { p.Status = corev1.PodStatus{} },
	"labels, another":           label("team", "a-team-with-a-longer-name"),
	"labels, shorter":           label("team", ""),
	"labels, one more":          label("example.com/new", "value"),
	"labels, one less":          func(p *corev1.Pod) { delete(p.Labels, "team") },
	"annotations, another":      podtest.Annotation("prometheus.io/port", "4041"),
	"annotations, one more":     podtest.Annotation("example.com/new", string(make([]byte, 5000))),
	"annotations, none":         func(p *corev1.Pod) { p.Annotations = nil },
	"other metadata, deletion":  deleting,
	"other metadata, finalizer": func(p *corev1.Pod) { p.Finalizers = append(p.Finalizers, "example.com/held") },
	"other metadata, no owner":  func(p *corev1.Pod) { p.OwnerReferences = nil },
	"spec, a resize": func(p *corev1.Pod) {
		p.Spec.Containers[0].Resources.Requests[corev1.ResourceCPU] = resource.MustParse("7500m")
		p.Spec.Containers[0].Resources.Limits[corev1.ResourceMemory] = resource.MustParse("18Gi")
	},
	"spec, an image":      func(p *corev1.Pod) { p.Spec.Containers[0].Image = "registry.example.com/other:1" },
	"spec, a node":        func(p *corev1.Pod) { p.Spec.NodeName = "another" },
	"spec, a toleration":  func(p *corev1.Pod) { p.Spec.Tolerations = p.Spec.Tolerations[1:] },
	"spec, a variable":    func(p *corev1.Pod) { p.Spec.Containers[0].Env[3].Value = "16384m" },
	"spec, no variables":  func(p *corev1.Pod) { p.Spec.Containers[0].Env = nil },
	"spec, a container":   func(p *corev1.Pod) { p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "more"}) },
	"spec, no containers": func(p *corev1.Pod) { p.Spec.Containers = nil },
	"nothing":             func(*corev1.Pod) {},
	"ephemeral containers": func(p *corev1.Pod) {
		p.Spec.EphemeralContainers = []corev1.EphemeralContainer{{TargetContainerName: "x"}}
	},
}

// A change of one part of a pod shows in Pod, all other parts stay equal, and so do the pods that
// were equal to it in all but their names. The same is true when the pod changes back.
func TestChangeOfAPart(t *testing.T) {
	eachPodWay(t, func(t *testing.T, way podWay) {
		pods := versionsOf(way.server)
		names := []string{"0", "1", "2"}
		for id, name := range names {
			pods.create(executorOf(podtest.Executor(id, 1, true), name))
		}
		store := watchsource.NewStore()
		way.start(t, store)
		get := func(name string) watchsource.Executor {
			t.Helper()
			synctest.Wait()
			e, _ := store.Snapshot().Get(name)
			pods.check(t, e)
			return e
		}
		changed := 0
		for _, what := range slices.Sorted(maps.Keys(partChanges)) {
			before := get("1")
			original := keptPod(t, before)
			pods.update("1", partChanges[what])
			after := keptPod(t, get("1"))
			if !apiequality.Semantic.DeepEqual(original, after) {
				changed++
			}
			for _, name := range names {
				get(name)
			}
			pods.update("1", become(original))
			get("1")
			pods.check(t, before)
			if t.Failed() {
				t.Fatalf("after a change of %s", what)
			}
		}
		if changed != len(partChanges) { // each at least in the version
			t.Errorf("%d changes changed a pod, want %d", changed, len(partChanges))
		}
	})
}

// randomPod returns one of some pods of three kinds.
func (way podWay) randomPod(r *rand.Rand) *corev1.Pod {
	switch r.IntN(3) {
	case 0:
		return way.filled(r.Uint64N(20))
	case 1:
		return fullPod(r.IntN(4))
	default:
		return podtest.Executor(r.IntN(4), 1, r.IntN(2) == 0)
	}
}

// Pods that take over parts of each other at random, forward and back, stay equal to the server's.
// Every state that was seen stays as it was.
func TestPodFollowsAnyChange(t *testing.T) {
	eachPodWay(t, func(t *testing.T, way podWay) {
		const names, steps = 5, 40
		r, pods := random(t), versionsOf(way.server)
		store := watchsource.NewStore(watchsource.WithLogger(logr.Discard()))
		seen := watchStore(t, store)
		source := way.start(t, store)
		present := map[string]bool{}
		for range steps {
			name := fmt.Sprint(r.IntN(names))
			from := way.randomPod(r)
			switch {
			case !present[name]:
				pods.create(executorOf(from, name))
				present[name] = true
			case r.IntN(8) == 0:
				pods.delete(name)
				delete(present, name)
			default:
				which := r.IntN(4)
				pods.update(name, func(p *corev1.Pod) {
					switch which {
					case 0:
						p.Status = from.Status
					case 1:
						p.Spec = from.Spec
					case 2:
						become(from)(p)
					case 3:
						p.Annotations, p.Labels = from.Annotations, from.Labels
						executorOf(p, p.Name)
					}
				})
			}
			seen.wait()
		}
		source.Stop()
		for _, e := range seen.all {
			pods.check(t, e)
			wantLabels(t, e, pods.pods[versionKey(e.Name, e.ResourceVersion)])
		}
	})
}
