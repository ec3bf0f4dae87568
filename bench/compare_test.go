// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The test binary stands in for the program where that runs itself.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && slices.Contains([]string{serveCommand, consumeCommand, serveOwnersCommand, operateCommand}, os.Args[1]) {
		main()
		return
	}
	os.Exit(m.Run())
}

// Every consumer sees the whole script in a separate process and reports all figures. The
// results and charts are written.
func TestCompareAllConsumers(t *testing.T) {
	dir := t.TempDir()
	results := filepath.Join(dir, "results.json")
	args := []string{"-pods", "50", "-updates", "200", "-rounds", "2", "-results", results, "-charts", dir}
	var r report
	table := runCommand(t, &r, results, args...)
	if len(r.Comparisons) != 1 || len(r.Comparisons[0].Series) != len(consumers) {
		t.Fatalf("results of %d sizes, want 1 with %d consumers", len(r.Comparisons), len(consumers))
	}
	for i, s := range r.Comparisons[0].Series {
		if s.Consumer != consumers[i].name || len(s.Rounds) != 2 {
			t.Errorf("series %d is %d rounds of %s, want 2 of %s", i, len(s.Rounds), s.Consumer, consumers[i].name)
		}
		for _, f := range s.Rounds {
			checkComplete(t, s.Consumer, f)
			if decodes := strings.HasPrefix(s.Consumer, "watchsource-decoding"); decodes != (f.DecodedPods > 0) {
				t.Errorf("%s: %v calls of Executor.Pod per update, want some: %t", s.Consumer, f.DecodedPods, decodes)
			}
		}
		if !strings.Contains(table, "| "+s.Title+" |") {
			t.Errorf("the table lacks %q:\n%s", s.Title, table)
		}
	}
	for _, name := range []string{"cpu.svg", "memory.svg"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
}

func checkComplete(t *testing.T, consumer string, f figures) {
	t.Helper()
	for name, value := range map[string]float64{
		"viewSeconds": f.ViewSeconds, "viewCPUMicros": f.ViewCPUMicros, "eventSeconds": f.EventSeconds,
		"eventCPUMicros": f.EventCPUMicros, "allocations": f.Allocations, "peakBytes": f.PeakBytes,
	} {
		if value <= 0 {
			t.Errorf("%s: %s is %v", consumer, name, value)
		}
	}
	if consumer != floorName && (f.HeapBytes <= 0 || f.EndHeapBytes <= 0) {
		t.Errorf("%s: heap per pod is %v, and %v at the end", consumer, f.HeapBytes, f.EndHeapBytes)
	}
}

func TestPlansFollowTheFlags(t *testing.T) {
	plans, err := compareOptions{pods: "1000,5000", rounds: 2, consumers: "informer,floor"}.plans()
	if err != nil {
		t.Fatal(err)
	}
	if len(plans) != 2 || plans[0].pods != 1000 || plans[0].updates != 10_000 || plans[1].pods != 5000 || plans[1].updates != 20_000 ||
		plans[1].rounds != 2 || !slices.Equal(plans[1].consumers, []string{"informer", "floor"}) {
		t.Errorf("plans %+v", plans)
	}
	if _, err := (compareOptions{}).plans(); err != nil {
		t.Errorf("the default plans: %v", err)
	}
	for _, o := range []compareOptions{{pods: "many"}, {pods: "0"}, {consumers: "informant"}} {
		if _, err := o.plans(); err == nil {
			t.Errorf("options %+v were accepted", o)
		}
	}
}

// runCommand runs the program, reads the results that it has written, and returns the table that
// it has printed.
func runCommand(t *testing.T, results any, path string, args ...string) (table string) {
	t.Helper()
	var out, progress bytes.Buffer
	if err := run(t.Context(), args, strings.NewReader(""), &out, &progress); err != nil {
		t.Fatalf("%v\n%s", err, &progress)
	}
	encoded, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(encoded, results); err != nil {
		t.Fatal(err)
	}
	return out.String()
}
