// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/podtest"
	"github.com/executorpods/watchsource/watchtest"
)

// The executors of an unchanged pod are equal by == in all snapshots, also after changes of
// others, a bookmark, and a list that shows the same pods.
func TestUnchangedExecutorsAreIdentical(t *testing.T) {
	eachPodWay(t, func(t *testing.T, way podWay) {
		way.server.Create(executorOf(podtest.Executor(1, 1, true), "same"))
		way.server.Create(executorOf(podtest.Executor(2, 1, true), "other"))
		for _, options := range [][]watchsource.StoreOption{nil, {watchsource.WithoutPods()}} {
			store := watchsource.NewStore(options...)
			source := way.start(t, store)
			first, _ := store.Snapshot().Get("same")
			check := func(after string) {
				t.Helper()
				synctest.Wait()
				now, ok := store.Snapshot().Get("same")
				if !ok || now != first || !now.Equal(first) || !first.Equal(now) {
					t.Errorf("after %s the executor is\n%+v\nwant it as before\n%+v", after, now, first)
				}
			}
			way.server.Update(podtest.Namespace, "other", phase(corev1.PodFailed))
			check("a change of another pod")
			way.server.Advance(10)
			time.Sleep(2 * time.Minute)
			check("a bookmark")
			lists := completeLists(way.server)
			way.server.Advance(100)
			way.server.Compact()
			way.server.Strike(watchtest.SendError(expired))
			time.Sleep(5 * time.Minute)
			if completeLists(way.server) == lists {
				t.Error("no list was made, want one")
			}
			check("a list")
			source.Stop()
			check("Stop")
		}
	})
}

// Stores that received the same states have equal executors, however the states came and
// whether they keep the pods.
func TestExecutorsOfTwoStoresAreEqual(t *testing.T) {
	eachPodWay(t, func(t *testing.T, way podWay) {
		shapes := way.shapes()
		for _, p := range shapes {
			way.server.Create(p)
		}
		quiet := watchsource.WithLogger(logr.Discard())
		direct, own, bare := watchsource.NewStore(quiet), watchsource.NewStore(quiet), watchsource.NewStore(quiet, watchsource.WithoutPods())
		way.start(t, own)
		if way.user != nil {
			way.user = new(podRecorder) // that no other source feeds
		}
		way.start(t, bare)
		check := func() {
			t.Helper()
			synctest.Wait()
			for _, p := range way.server.List(executors) {
				direct.UpdatePod(&p)
			}
			for _, store := range []*watchsource.Store{own, bare} {
				requireSameExecutors(t, store.Snapshot(), direct.Snapshot())
				requireSameExecutors(t, direct.Snapshot(), store.Snapshot())
			}
		}
		check()
		for name := range shapes {
			way.server.Update(podtest.Namespace, name, become(podtest.Executor(1, 1, true)))
		}
		check()
		for name, p := range shapes {
			way.server.Update(podtest.Namespace, name, become(p))
		}
		check()
	})
}

// filledExecutor returns an executor with a value in each exported field, and its pod.
func filledExecutor(t *testing.T) watchsource.Executor {
	t.Helper()
	store := watchsource.NewStore()
	store.UpdatePod(pod("1"))
	e := onlyExecutor(t, store)
	for field := range exportedFields(&e) {
		if field.IsZero() {
			changeField(t, field)
		}
	}
	return e
}

// exportedFields returns the exported fields of an executor by their names.
func exportedFields(e *watchsource.Executor) func(yield func(reflect.Value, string) bool) {
	return func(yield func(reflect.Value, string) bool) {
		v := reflect.ValueOf(e).Elem()
		for i := range v.NumField() {
			if field := v.Type().Field(i); field.IsExported() && !yield(v.Field(i), field.Name) {
				return
			}
		}
	}
}

// changeField gives a field another value.
func changeField(t *testing.T, v reflect.Value) {
	t.Helper()
	switch value := v.Addr().Interface().(type) {
	case *time.Time:
		*value = value.Add(time.Second)
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Int32:
		v.SetInt(v.Int() + 1)
	case reflect.Uint8:
		v.SetUint(v.Uint() ^ 1)
	default:
		t.Fatalf("an executor has a %v, which this test does not change", v.Type())
	}
}

// A difference in one exported field makes executors different, for Equal and for ==. Each field
// is tried, so a new one cannot be forgotten.
func TestEachFieldMakesADifference(t *testing.T) {
	e := filledExecutor(t)
	if same := e; !e.Equal(same) || e != same {
		t.Error("a copy of an executor is not equal to it, want it equal")
	}
	fields := 0
	other := e
	for field, name := range exportedFields(&other) {
		other = e
		changeField(t, field)
		if e.Equal(other) || other.Equal(e) || e == other {
			t.Errorf("executors that differ in %s are equal, want them different", name)
		}
		fields++
	}
	if fields < 15 {
		t.Errorf("%d fields were changed, want all, which are at least 15", fields)
	}
}

// Equal compares times as time.Time.Equal does: the location and the monotonic clock do not count.
func TestTimesOfOtherLocationsAreEqual(t *testing.T) {
	e := filledExecutor(t)
	e.CreatedAt, e.StartedAt, e.FinishedAt = time.Now(), time.Now(), time.Now()
	times := 0
	other := e
	for field, name := range exportedFields(&other) {
		at, ok := field.Addr().Interface().(*time.Time)
		if !ok {
			continue
		}
		times++
		for _, location := range []*time.Location{time.UTC, time.FixedZone("east", 3600), time.FixedZone("", -7200)} {
			other = e
			*at = at.In(location).Round(0)
			if !e.Equal(other) || !other.Equal(e) {
				t.Errorf("executors with the same %s in location %q differ, want them equal", name, location)
			}
		}
	}
	if times != 3 {
		t.Errorf("an executor has %d times, want 3", times)
	}
}

// Equal does not compare the pods: an executor without its pod equals one with it, and one whose
// pod has changed where the executor does not show it.
func TestEqualDoesNotCompareThePods(t *testing.T) {
	var all []watchsource.Executor
	for _, options := range [][]watchsource.StoreOption{nil, {watchsource.WithoutPods()}} {
		for _, p := range []*corev1.Pod{pod("1", version("5")), pod("1", version("5"), podtest.Annotation("note", "x"), func(p *corev1.Pod) {
			p.CreationTimestamp = metav1.NewTime(time.Time{}.In(time.FixedZone("east", 3600)))
		})} {
			store := watchsource.NewStore(options...)
			store.UpdatePod(p)
			all = append(all, onlyExecutor(t, store))
		}
	}
	for _, a := range all {
		for _, b := range all {
			if !a.Equal(b) {
				t.Errorf("%+v and %+v differ, want them equal", a, b)
			}
		}
	}
	if zero := (watchsource.Executor{}); !zero.Equal(watchsource.Executor{}) || zero.Equal(all[0]) {
		t.Error("the zero Executor does not equal itself only, want that")
	}
}
