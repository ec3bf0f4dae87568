// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/executorpods/watchsource/internal/test/podtest"
)

// Both sides of the comparison decode the same pods.
func TestDecodingsAreOfTheSamePods(t *testing.T) {
	const pods = 40
	for _, kind := range append([]string{executorKind}, kindNames()...) {
		d, stop, err := newDecoding(t.Context(), kind, pods)
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		defer stop()
		for k := range pods {
			ours, err := d.pod(k)
			if err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
			theirs, err := d.clientGo(k)
			if err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
			if len(theirs.ManagedFields) == 0 {
				t.Errorf("%s: client-go decodes no managedFields", kind)
			}
			theirs.ManagedFields = nil
			if !podtest.Equal(ours, theirs) {
				t.Errorf("%s: Pod() returns\n%v\nclient-go decodes\n%v", kind, ours, theirs)
			}
		}
	}
}

// The command measures both decoders in each round, and prints their ratio.
func TestPodCommand(t *testing.T) {
	results := filepath.Join(t.TempDir(), "pod.json")
	args := []string{podCommand, "-kinds", "executor,driver", "-pods", "20", "-calls", "200", "-rounds", "2", "-results", results}
	var r podReport
	runCommand(t, &r, results, args...)
	if len(r.Kinds) != 2 {
		t.Fatalf("results of %d kinds, want 2", len(r.Kinds))
	}
	for _, s := range r.Kinds {
		if len(s.Pod) != 2 || len(s.ClientGo) != 2 {
			t.Fatalf("%s: %d and %d rounds, want 2", s.Kind, len(s.Pod), len(s.ClientGo))
		}
		for _, cost := range slices.Concat(s.Pod, s.ClientGo) {
			if cost.CPUMicros <= 0 || cost.Allocations < 1 {
				t.Errorf("%s: a call costs %+v", s.Kind, cost)
			}
		}
	}
	for _, args := range [][]string{{"-kinds", "drivers"}, {"-pods", "0"}, {"-calls", "0"}} {
		if err := run(t.Context(), append([]string{podCommand}, args...), strings.NewReader(""), io.Discard, io.Discard); err == nil {
			t.Errorf("%v was accepted", args)
		}
	}
}

func TestPodTable(t *testing.T) {
	r := podReport{
		Machine: machine{CPU: "Abacus", Cores: 2, Go: "go1.26", ClientGo: "v0.37.2", Controller: "v0.25.2", Date: "2026-03-02"},
		Pods:    200, Calls: 20_000,
		Kinds: []podSeries{{
			Kind:     executorKind,
			Pod:      []podCost{{20, 60}, {25, 60}, {30, 60}},
			ClientGo: []podCost{{10, 260}, {20, 260}, {20, 260}},
		}},
	}
	const want = `Abacus, 2 cores, go1.26, client-go v0.37.2, controller-runtime v0.25.2, 2026-03-02. 200 pods, 20,000 calls in each round. Medians, least and most in brackets.

| pod | Pod(), us | of client-go | allocations | client-go's decoder, us | allocations |
|---|---:|---:|---:|---:|---:|
| executor | 25.00 (20.00-30.00) | 1.50 (1.25-2.00) | 60 | 20.00 (10.00-20.00) | 260 |
`
	if got := r.markdown(); got != want {
		t.Errorf("table:\n%s\nwant:\n%s", got, want)
	}
}

// BenchmarkPod decodes pods of each kind with Executor.Pod, and with client-go as an informer
// does: the object of the last event of the pod, with its managedFields.
func BenchmarkPod(b *testing.B) {
	for _, kind := range append([]string{executorKind}, kindNames()...) {
		d, stop, err := newDecoding(b.Context(), kind, 200)
		if err != nil {
			b.Fatal(err)
		}
		defer stop()
		for _, way := range []struct {
			name   string
			decode func(k int) (*corev1.Pod, error)
		}{{"Pod", d.pod}, {"client-go", d.clientGo}} {
			b.Run(kind+"/"+way.name, func(b *testing.B) {
				b.ReportAllocs()
				for k := 0; b.Loop(); k++ {
					if _, err := way.decode(k); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
