// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/internal/test/podtest"
)

// scribble changes everything that is reachable from a value: each text, number, element of a
// slice, entry of a map, and what a pointer points to.
func scribble(v reflect.Value) {
	if scribbleKnown(v.Addr().Interface()) {
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for _, field := range v.Fields() {
			scribble(field)
		}
	case reflect.Pointer:
		if !v.IsNil() {
			scribble(v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			scribble(v.Index(i))
		}
	case reflect.Map:
		scribbleMap(v)
	case reflect.String:
		v.SetString("scribbled " + v.String())
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Uint8:
		v.SetUint(v.Uint() ^ 1)
	case reflect.Int32, reflect.Int64:
		v.SetInt(v.Int() ^ 1)
	default:
		panic("a pod has a " + v.Type().String())
	}
}

// scribbleKnown changes a value of a type that hides its fields.
func scribbleKnown(value any) bool {
	switch value := value.(type) {
	case *metav1.Time:
		value.Time = value.Add(time.Hour)
	case *resource.Quantity:
		if dec := value.AsDec(); dec != nil { // which copies of a large quantity may share
			dec.UnscaledBig().SetInt64(dec.UnscaledBig().Int64() ^ 1)
		}
		value.Add(resource.MustParse("17"))
	case *metav1.FieldsV1:
		*value = metav1.FieldsV1{}
	default:
		return false
	}
	return true
}

// scribbleMap changes and replaces all entries of a map, and adds one.
func scribbleMap(v reflect.Value) {
	if v.IsNil() {
		return
	}
	for _, key := range v.MapKeys() {
		value := reflect.New(v.Type().Elem()).Elem()
		value.Set(v.MapIndex(key))
		scribble(value)
		v.SetMapIndex(key, value)
	}
	key := reflect.New(v.Type().Key()).Elem()
	scribble(key)
	v.SetMapIndex(key, reflect.New(v.Type().Elem()).Elem())
}

// spoil scribbles over a pod. It fails if that leaves a part of the pod as it was.
func spoil(t *testing.T, p *corev1.Pod) {
	t.Helper()
	before := p.DeepCopy()
	scribble(reflect.ValueOf(p).Elem())
	if podtest.Equal(p, before) || reflect.DeepEqual(p.Labels, before.Labels) ||
		reflect.DeepEqual(p.Spec, before.Spec) || reflect.DeepEqual(p.Status, before.Status) {
		t.Fatalf("%s is the same after the test has changed all of it", before.Name)
	}
}

// largeQuantity is more than an int64 holds, so that its value is behind a pointer.
var largeQuantity = resource.MustParse("123456789012345678901234567890")

// alike returns a pod that is equal to those of other ids in nearly all parts.
func alike(id int) *corev1.Pod {
	p := executorOf(fullPod(id), fmt.Sprint("alike-", id))
	p.Spec.Containers[0].Resources.Limits["example.com/large"] = largeQuantity.DeepCopy()
	return p
}

// G9: Pod returns a copy. A reader that changes everything in it changes no other copy of it, no
// other state of the pod, no other pod, and no pod that a user's own store holds.
func TestGuarantee9PodIsACopy(t *testing.T) {
	eachPodWay(t, func(t *testing.T, way podWay) {
		pods := versionsOf(way.server)
		for id := range 3 {
			pods.create(alike(id))
		}
		for seed := range uint64(3) {
			pods.create(executorOf(way.filled(seed), fmt.Sprint("filled-", seed)))
		}
		store := watchsource.NewStore()
		seen := watchStore(t, store)
		source := way.start(t, store)
		seen.wait()
		pods.update("alike-1", phase(corev1.PodFailed))
		pods.update("alike-2", label("team", "other"))
		pods.create(alike(3))
		pods.delete("alike-0")
		seen.wait()
		seen.in(t, "alike-0", watchsource.Deleted)
		source.Stop()

		check := func(after string) {
			t.Helper()
			for _, e := range seen.all {
				pods.check(t, e)
			}
			if way.user != nil {
				for _, p := range way.user.all {
					if want := pods.pods[versionKey(p.Name, p.ResourceVersion)]; want == nil || !podtest.Equal(p, want) {
						t.Errorf("the user's own store has\n%+v\nwant\n%+v", p, want)
					}
				}
			}
			if t.Failed() {
				t.Fatalf("after a change of %s, which Pod() returned", after)
			}
		}
		check("nothing")
		for _, e := range seen.all {
			spoil(t, keptPod(t, e))
			check(versionKey(e.Name, e.ResourceVersion))
		}
	})
}

// G9: the same is true of the pods that the test of a fake still holds. The store keeps those
// pods without a copy, so the test must not change them, see [watchsource.SnapshotsStore].
func TestGuarantee9PodOfAFakeIsACopy(t *testing.T) {
	eachFake(t, func(t *testing.T, newSource modeltest.NewSource, form func(*fake.Clientset) kubernetes.Interface) {
		list, events := new(corev1.PodList), watch.NewRaceFreeFake()
		var want []*corev1.Pod
		for id := range 4 {
			p := alike(id)
			p.ManagedFields = nil
			want = append(want, p)
		}
		list.Items = []corev1.Pod{*want[0].DeepCopy(), *want[1].DeepCopy()}
		added, own := want[2].DeepCopy(), want[3].DeepCopy()
		client := fake.NewClientset(own)
		client.PrependReactor("list", "pods", func(k8stesting.Action) (bool, runtime.Object, error) { return true, list, nil })
		client.PrependWatchReactor("pods", func(k8stesting.Action) (bool, watch.Interface, error) { return true, events, nil })
		store := watchsource.NewStore()
		seen := watchStore(t, store)
		source := newSource(store, form(client))
		start(t, source, podtest.App)
		defer source.Stop()
		events.Add(added)
		events.Add(own)
		seen.wait()
		if len(seen.all) != len(want) {
			t.Fatalf("%d executors were seen, want %d", len(seen.all), len(want))
		}
		for _, e := range seen.all {
			spoil(t, keptPod(t, e))
			for i, held := range []*corev1.Pod{&list.Items[0], &list.Items[1], added, own} {
				wantPod(t, held, want[i], true)
				wantPod(t, keptPod(t, seen.in(t, want[i].Name, watchsource.Running)), want[i], true)
			}
		}
	})
}

// A pod that a program passes to a Store, or through a Watcher, is not changed by a reader.
func TestGuarantee9PodOfAProgramIsACopy(t *testing.T) {
	for name, feed := range map[string]func(store *watchsource.Store, p *corev1.Pod){
		"UpdatePod":       (*watchsource.Store).UpdatePod,
		"ReplaceSnapshot": func(s *watchsource.Store, p *corev1.Pod) { s.ReplaceSnapshot([]*corev1.Pod{p}) },
		"Receive": func(s *watchsource.Store, p *corev1.Pod) {
			must(t, watchsource.NewWatcher(s, selectorOf(t, "")).Receive(added(p)))
		},
		"Replace": func(s *watchsource.Store, p *corev1.Pod) {
			watchsource.NewWatcher(s, selectorOf(t, "")).Replace([]*corev1.Pod{p}, "1")
		},
	} {
		p, store := alike(1), watchsource.NewStore()
		p.ManagedFields = nil
		want := p.DeepCopy()
		feed(store, p)
		e := onlyExecutor(t, store)
		spoil(t, keptPod(t, e))
		wantPod(t, p, want, true)
		wantPod(t, keptPod(t, e), want, true)
		if t.Failed() {
			t.Fatalf("by %s", name)
		}
	}
}
