// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/internal/test/podtest"
)

func podWithASidecar() *corev1.Pod {
	return pod("1", phase(corev1.PodRunning), container("side",
		running()), container(executorContainer, running()), containerPolicy("side", "Always"),
		func(p *corev1.Pod) {
			p.Spec.NodeName = "node-1"
			p.Spec.Volumes = []corev1.Volume{{Name: "scratch"}}
			p.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubelet"}}
			p.Annotations = map[string]string{"note": "kept"}
		})
}

// WithTrimmedPods says which parts of a pod a user's own store receives. A Store has the whole pod
// with it too.
func TestTrimmedPods(t *testing.T) {
	full := podWithASidecar()
	before := full.DeepCopy()
	for _, test := range []struct {
		name    string
		options []watchsource.Option
		want    func(p *corev1.Pod)
	}{
		{name: "default", want: func(p *corev1.Pod) { p.ManagedFields = nil }},
		{name: "trimmed", options: []watchsource.Option{watchsource.WithTrimmedPods()}, want: func(p *corev1.Pod) {
			p.ManagedFields = nil
			p.Spec = podtest.TrimmedSpec(p)
		}},
	} {
		eachCaseInBubble(t, test.name, func(t *testing.T, newSource modeltest.NewSource) {
			client := fake.NewClientset(full)
			store, user := watchsource.NewStore(), new(podRecorder)
			for _, to := range []watchsource.SnapshotsStore{store, user} {
				source := newSource(to, client, test.options...)
				start(t, source, "app")
				defer source.Stop()
			}
			second := full.DeepCopy()
			second.Name = "exec-2"
			create(t, client, second)
			synctest.Wait()
			for i, name := range []string{"exec-1", "exec-2"} {
				whole := before.DeepCopy()
				whole.Name, whole.ManagedFields = name, nil
				want := whole.DeepCopy()
				test.want(want)
				if got := user.all[i]; !podtest.Equal(got, want) {
					t.Errorf("%s: the user's store has\n%+v\nwant\n%+v", name, got, want)
				}
				e, _ := store.Snapshot().Get(name)
				if got := keptPod(t, e); !podtest.Equal(got, whole) {
					t.Errorf("%s: the Store has\n%+v\nwant\n%+v", name, got, whole)
				}
				if e.State != watchsource.Running || e.Node != "node-1" {
					t.Errorf("%s: %v on %q, want Running on node-1", name, e.State, e.Node)
				}
			}
		})
	}
}

// A pod can be shared with other code, as with a fake watch, so trimming copies it.
func TestTrimmingCopiesThePod(t *testing.T) {
	full := podWithASidecar()
	before := full.DeepCopy()
	watcher := watchsource.NewWatcher(&recordingStore{}, selectorOf(t, executors), watchsource.WithTrimmedPods())
	must(t, watcher.Receive(added(full)))
	watcher.Replace([]*corev1.Pod{full}, "1")
	if !podtest.Equal(full, before) {
		t.Errorf("the original pod is now\n%+v\nwant\n%+v", full, before)
	}
}

// WithTrimmedPods has no effect on a Store: its pods are whole, even if a user's own store beside
// it receives trimmed ones from another source.
func TestTrimmedPodsOfAStoreAreWhole(t *testing.T) {
	eachPodWay(t, func(t *testing.T, way podWay) {
		if way.user != nil {
			t.Skip("Tee gives a Store the pods of the user's own store")
		}
		pods := versionsOf(way.server)
		for id := range 2 {
			pods.create(alike(id))
		}
		store := watchsource.NewStore()
		seen := watchStore(t, store)
		way.start(t, store, watchsource.WithTrimmedPods())
		seen.wait()
		pods.create(alike(2))
		pods.update("alike-0", phase(corev1.PodFailed))
		pods.delete("alike-1")
		seen.wait()
		seen.in(t, "alike-1", watchsource.Deleted)
		for _, e := range seen.all {
			pods.check(t, e)
		}
	})
}

// A pod that is trimmed without a server is otherwise as the program has made it: its times have
// nanoseconds, and its empty maps and slices are not nil.
func TestTrimmedPodOfAProgram(t *testing.T) {
	user := new(podRecorder)
	watcher := watchsource.NewWatcher(user, labels.Everything(), watchsource.WithTrimmedPods())
	p := pod("1", phase(corev1.PodRunning), container(executorContainer, running()), containerPolicy(executorContainer, "Always"))
	p.TypeMeta = metav1.TypeMeta{Kind: "Pod", APIVersion: "v1"}
	p.CreationTimestamp = metav1.NewTime(time.Date(2026, time.March, 2, 9, 30, 0, 678, time.UTC))
	p.Annotations, p.Finalizers, p.Status.Conditions = map[string]string{}, []string{}, []corev1.PodCondition{}
	p.Spec.Volumes = []corev1.Volume{{Name: "scratch"}}
	want := p.DeepCopy()
	want.Spec = podtest.TrimmedSpec(want)
	must(t, watcher.Receive(added(p)))
	if got := user.all[0]; !reflect.DeepEqual(got, want) {
		t.Errorf("the user's store has\n%+v\nwant\n%+v", got, want)
	}
}
