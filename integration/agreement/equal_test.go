// SPDX-License-Identifier: Apache-2.0

package agreement

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/podtest"
	"github.com/executorpods/watchsource/watchtest"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
)

// storeOf returns a store that has received all pods of a server through a client.
func storeOf(t *testing.T, client kubernetes.Interface, options ...watchsource.StoreOption) *watchsource.Store {
	t.Helper()
	store := watchsource.NewStore(options...)
	source := watchsource.NewWatchSnapshotSource(store, client)
	if err := source.Start(podtest.App); err != nil {
		t.Fatal(err)
	}
	source.Stop()
	return store
}

func filledServer() *watchtest.Server {
	server := watchtest.NewServer()
	for i := range 4 {
		pod := podtest.Executor(i, 1, i > 0)
		pod.Namespace, pod.Name, pod.Labels = podtest.Namespace, fmt.Sprint("exec-", i), podtest.Pod(fmt.Sprint(i)).Labels
		server.Create(pod)
	}
	return server
}

// go-cmp finds executors equal that are Equal: alone, in slices, in maps and behind the pointers
// of a Change, from whichever decoder, with and without their pods, and with times in other
// locations. It does not panic, and names the field that differs.
func TestGoCmp(t *testing.T) {
	server := filledServer()
	want := slices.Collect(storeOf(t, server.Client()).Snapshot().All())
	for name, store := range map[string]*watchsource.Store{
		"protobuf again": storeOf(t, server.Client()),
		"JSON":           storeOf(t, server.JSONClient()),
		"without pods":   storeOf(t, server.Client(), watchsource.WithoutPods()),
	} {
		got := slices.Collect(store.Snapshot().All())
		for i := range got {
			got[i].CreatedAt, got[i].StartedAt = got[i].CreatedAt.In(time.FixedZone("east", 3600)), got[i].StartedAt.UTC()
		}
		if len(got) != 4 {
			t.Fatalf("%s: %d executors, want 4", name, len(got))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: the executors differ, want them equal (-want +got):\n%s", name, diff)
		}
		if diff := cmp.Diff(changesOf(want), changesOf(got)); diff != "" {
			t.Errorf("%s: the changes differ, want them equal (-want +got):\n%s", name, diff)
		}
		if diff := cmp.Diff(map[string]watchsource.Executor{"a": want[0]}, map[string]watchsource.Executor{"a": got[0]}); diff != "" {
			t.Errorf("%s: the maps differ, want them equal (-want +got):\n%s", name, diff)
		}
	}
	if diff := cmp.Diff(want[0], want[1]); !strings.Contains(diff, "exec-0") || !strings.Contains(diff, "exec-1") {
		t.Errorf("the difference of two executors is %q, want their names in it", diff)
	}
}

// changesOf returns what a reader is shown of executors in a list.
func changesOf(executors []watchsource.Executor) []*watchsource.Executor {
	all := make([]*watchsource.Executor, len(executors))
	for i := range executors {
		all[i] = &executors[i]
	}
	return all
}

// go-cmp agrees with Equal about each exported field.
func TestGoCmpSeesEachField(t *testing.T) {
	e := slices.Collect(storeOf(t, filledServer().Client()).Snapshot().All())[0]
	fields := 0
	for i := range reflect.TypeFor[watchsource.Executor]().NumField() {
		other := e
		field := reflect.ValueOf(&other).Elem().Field(i)
		if !field.CanSet() {
			continue
		}
		fields++
		switch value := field.Addr().Interface().(type) {
		case *time.Time:
			*value = value.Add(time.Second)
		default:
			zero := reflect.Zero(field.Type())
			if field.IsZero() {
				zero = notZero(t, field.Type())
			}
			field.Set(zero)
		}
		name := reflect.TypeFor[watchsource.Executor]().Field(i).Name
		if cmp.Equal(e, other) || e.Equal(other) {
			t.Errorf("executors that differ in %s are equal, want them different", name)
		}
	}
	if fields < 15 {
		t.Errorf("%d fields were changed, want all, which are at least 15", fields)
	}
}

// notZero returns a value of a type that is not its zero value.
func notZero(t *testing.T, of reflect.Type) reflect.Value {
	t.Helper()
	v := reflect.New(of).Elem()
	switch v.Kind() {
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int32:
		v.SetInt(1)
	case reflect.Uint8:
		v.SetUint(1)
	default:
		t.Fatalf("an executor has a %v, which this test does not change", of)
	}
	return v
}

// Difference sees changes that an executor shows, and others. It ignores the environment of
// trimmed pods, and no other change.
func TestDifference(t *testing.T) {
	server := filledServer()
	trimmedStore := watchsource.NewStore()
	source := watchsource.NewWatchSnapshotSource(watchsource.Tee(trimmedStore), server.Client(), watchsource.WithTrimmedPods())
	if err := source.Start(podtest.App); err != nil {
		t.Fatal(err)
	}
	source.Stop()
	snapshots := map[bool]watchsource.Snapshot{false: storeOf(t, server.Client()).Snapshot(), true: trimmedStore.Snapshot()}
	difference := func(change func(*corev1.Pod), trimmed bool) string {
		t.Helper()
		client := fake.NewClientset()
		for _, pod := range server.List(podtest.Selector) {
			if pod.Name == "exec-1" {
				change(&pod)
			}
			if err := client.Tracker().Add(&pod); err != nil {
				t.Fatal(err)
			}
		}
		diff, err := Difference(t.Context(), client.CoreV1().Pods(podtest.Namespace), podtest.Selector, snapshots[trimmed], trimmed)
		if err != nil {
			t.Fatal(err)
		}
		return diff
	}
	for _, test := range []struct {
		name              string
		change            func(*corev1.Pod)
		seen, seenTrimmed bool
	}{
		{name: "nothing", change: func(*corev1.Pod) {}},
		{name: "state", change: podtest.Phase(corev1.PodFailed), seen: true, seenTrimmed: true},
		{name: "annotation", change: podtest.Annotation("note", "changed"), seen: true, seenTrimmed: true},
		{name: "environment", change: func(p *corev1.Pod) { p.Spec.Containers[0].Env[0].Value = "changed" }, seen: true},
	} {
		for trimmed, seen := range map[bool]bool{false: test.seen, true: test.seenTrimmed} {
			if diff := difference(test.change, trimmed); seen != strings.Contains(diff, "exec-1") || !seen && diff != "" {
				t.Errorf("the difference in the %s of pods, trimmed %t, is %q; want exec-1 in it: %t", test.name, trimmed, diff, seen)
			}
		}
	}
}
