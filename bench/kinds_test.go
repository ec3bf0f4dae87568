// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/executorpods/watchsource/internal/test/podtest"
)

// Two pods of three are updated. The frame of an update has the pod after as many updates as
// there were, with versions that increase.
func TestKindUpdates(t *testing.T) {
	for _, pods := range []int{1, 2, 3, 4, 5, 100} {
		s, _ := newKindScript(t, "driver", pods, 3*pods)
		updates := map[int]int{}
		for j := range s.updates {
			i := s.updatedPod(j)
			updates[i]++
			want := s.kind.Pod(i, updates[i])
			want.ResourceVersion = podtest.VersionText(pods + 1 + j)
			if got := s.appendUpdate(nil, j); !bytes.Equal(got, protobufFrame(watch.Modified, want)) {
				t.Fatalf("%d pods: update %d is not update %d of pod %d", pods, j, updates[i], i)
			}
		}
		if want := pods - pods/3; len(updates) != want {
			t.Errorf("%d of %d pods are updated, want %d", len(updates), pods, want)
		}
	}
}

// Some of the pods are still pending without a node, and some have succeeded.
func TestKindPhases(t *testing.T) {
	for _, kind := range kindNames() {
		s, _ := newKindScript(t, kind, 120, 240)
		phases := map[corev1.PodPhase]int{}
		for _, pod := range lastPods(t, s) {
			phases[pod.Status.Phase]++
		}
		for _, phase := range []corev1.PodPhase{corev1.PodPending, corev1.PodRunning, corev1.PodSucceeded} {
			if phases[phase] == 0 {
				t.Errorf("%s: no pod is %s", kind, phase)
			}
		}
	}
}

// Lists are made of a template, so a consumer that lists pods of a kind fails.
func TestKindsHaveNoLists(t *testing.T) {
	s, _ := newKindScript(t, "driver", 5, 5)
	client := startReplay(t, newReplay(s, true))
	_, err := client.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{})
	if !apierrors.IsNotAcceptable(err) {
		t.Errorf("list of a kind: error %v, want 406", err)
	}
}

// The command measures each consumer with each kind.
func TestKindsCommand(t *testing.T) {
	results := filepath.Join(t.TempDir(), "kinds.json")
	args := []string{kindsCommand, "-kinds", "driver,mixed", "-pods", "60", "-updates", "90", "-rounds", "2", "-results", results}
	var r kindsReport
	table := runCommand(t, &r, results, args...)
	if len(r.Kinds) != 2 {
		t.Fatalf("results of %d kinds, want 2", len(r.Kinds))
	}
	for _, k := range r.Kinds {
		if len(k.Series) != 2 || k.Series[0].Consumer != informerName || k.Series[1].Consumer != "watchsource" {
			t.Fatalf("%s: %d series, want those of the informer and of watchsource", k.Kind, len(k.Series))
		}
		for _, s := range k.Series {
			if len(s.Rounds) != 2 {
				t.Errorf("%s, %s: %d rounds, want 2", k.Kind, s.Consumer, len(s.Rounds))
			}
			for _, f := range s.Rounds {
				checkComplete(t, s.Consumer, f)
			}
		}
		if !strings.Contains(table, "| "+k.Title+" |") {
			t.Errorf("the table lacks %q:\n%s", k.Title, table)
		}
	}
}

func TestKindsTable(t *testing.T) {
	round := func(heap, endHeap float64) figures { return figures{HeapBytes: heap, EndHeapBytes: endHeap} }
	r := kindsReport{
		Machine: machine{CPU: "Abacus", Cores: 2, Go: "go1.26", ClientGo: "v0.37.2", Controller: "v0.25.2", Date: "2026-03-02"},
		Kinds: []kindComparison{{
			Kind: "driver", Title: "Spark driver", kindSize: kindSize{Frame: 10_700, Pod: 5_000},
			comparison: comparison{Pods: 2_000, Updates: 4_000, Series: []series{
				{Consumer: informerName, Title: "SharedInformer", Rounds: []figures{round(20e3, 25e3), round(20e3, 25e3), round(22e3, 30e3)}},
				{Consumer: "watchsource", Title: "watchsource", Rounds: []figures{round(5e3, 7.5e3), round(5e3, 7.5e3), round(5e3, 7.5e3)}},
			}},
		}},
	}
	const want = `Abacus, 2 cores, go1.26, client-go v0.37.2, controller-runtime v0.25.2, 2026-03-02. 2,000 pods of each kind, 4,000 updates. Medians, least and most in brackets.

| pods | on the wire, kB | without managedFields, kB | consumer | heap per pod after the updates, kB | of SharedInformer | before the updates, kB | of SharedInformer |
|---|---:|---:|---|---:|---:|---:|---:|
| Spark driver | 10.7 | 5.0 | SharedInformer | 25.00 (25.00-30.00) | 1.00 | 20.00 (20.00-22.00) | 1.00 |
| Spark driver | 10.7 | 5.0 | watchsource | 7.50 | 0.30 | 5.00 | 0.25 |
`
	if got := r.markdown(); got != want {
		t.Errorf("table:\n%s\nwant:\n%s", got, want)
	}
}

func TestKindsFlags(t *testing.T) {
	ok := kindsOptions{kinds: "driver", pods: 1, updates: 1, rounds: 1, consumers: "informer"}
	if _, err := ok.plans(); err != nil {
		t.Errorf("options %+v: %v", ok, err)
	}
	for _, change := range []func(*kindsOptions){
		func(o *kindsOptions) { o.kinds = "drivers" },
		func(o *kindsOptions) { o.consumers = "informant" },
		func(o *kindsOptions) { o.pods = 0 },
		func(o *kindsOptions) { o.updates = 0 },
	} {
		o := ok
		change(&o)
		if _, err := o.plans(); err == nil {
			t.Errorf("options %+v were accepted", o)
		}
	}
}
