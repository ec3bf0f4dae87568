// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Each operator sees all changes in a process for itself, and reports all figures. With
// AddRateLimited it may miss some within the limit, and reports this too.
func TestOperatorCommand(t *testing.T) {
	results := filepath.Join(t.TempDir(), "operator.json")
	args := []string{operatorCommand, "-workers", "40", "-others", "5", "-each", "3", "-rounds", "1", "-settle", "50ms", "-results", results}
	for _, test := range []struct {
		operators []string
		limit     string
		mayMiss   bool
	}{
		{operators: operatorNames()[1:], limit: "2m"},
		{operators: []string{rateLimitedName}, limit: "3s", mayMiss: true},
	} {
		var r operatorReport
		table := runCommand(t, &r, results, append(args, "-operators", strings.Join(test.operators, ","), "-limit", test.limit)...)
		if len(r.Series) != len(test.operators) {
			t.Fatalf("results of %d operators, want %v", len(r.Series), test.operators)
		}
		for i, s := range r.Series {
			if s.Operator != test.operators[i] || len(s.Rounds) != 1 || !strings.Contains(table, "| "+s.Title+" |") {
				t.Fatalf("%d rounds of %s, want 1 of %s, and a line of it in the table:\n%s", len(s.Rounds), s.Operator, test.operators[i], table)
			}
			checkOperatorRound(t, s.Operator, s.Rounds[0], test.mayMiss)
		}
	}
}

func checkOperatorRound(t *testing.T, name string, r operatorRound, mayMiss bool) {
	t.Helper()
	for figure, value := range map[string]float64{
		"viewSeconds": r.ViewSeconds, "cpuSeconds": r.CPUSeconds, "heapBytes": r.HeapBytes, "viewHeapBytes": r.ViewHeapBytes,
		"peakBytes": r.PeakBytes, "goroutines": float64(r.Goroutines),
	} {
		if value <= 0 {
			t.Errorf("%s: %s is %v", name, figure, value)
		}
	}
	if r.StreamingLists != 1 || r.Lists+r.Watches != 0 {
		t.Errorf("%s: requests %+v, want one streaming list", name, r.requests)
	}
	if mayMiss {
		return
	}
	// Each status is written once at least, and not more often than the owner is reconciled.
	if !r.FirstWait.Seen || !r.SecondWait.Seen || r.FirstReconciles < 1 || r.SecondReconciles < 1 ||
		r.Patches < 2 || r.Patches > r.FirstReconciles+r.SecondReconciles {
		t.Errorf("%s: %+v, want both owners reconciled with their last changes", name, r)
	}
}

func TestOperatorFlags(t *testing.T) {
	for _, args := range [][]string{
		{"-workers", "0"}, {"-others", "0"}, {"-each", "0"}, {"-rate", "-1"}, {"-limit", "0"}, {"-settle", "-1s"}, {"-operators", "own"}, {"more"},
	} {
		if err := run(t.Context(), append([]string{operatorCommand}, args...), strings.NewReader(""), io.Discard, io.Discard); err == nil {
			t.Errorf("%v was accepted", args)
		}
	}
}

// A wait that did not end is as long as the round was.
func TestReckon(t *testing.T) {
	second := time.Second.Nanoseconds()
	r := operatorRound{
		operatorFigures: operatorFigures{FirstSeen: 15 * second, Ended: 100 * second},
		ownerRequests:   ownerRequests{LastOfFirst: 10 * second, Second: 11 * second},
	}
	if err := r.reckon(); err != nil {
		t.Fatal(err)
	}
	if r.FirstWait != (eventWait{5, true}) || r.SecondWait != (eventWait{89, false}) {
		t.Errorf("the waits are %v and %v, want 5 s, and more than 89 s", r.FirstWait, r.SecondWait)
	}
	if err := new(operatorRound).reckon(); !errors.Is(err, errNotSent) {
		t.Errorf("a round without the events: %v, want errNotSent", err)
	}
}

func TestOperatorTable(t *testing.T) {
	round := func(reconciles int, first, second eventWait, cpu, heap float64) operatorRound {
		return operatorRound{
			operatorFigures: operatorFigures{ViewSeconds: 2.5, FirstReconciles: reconciles, CPUSeconds: cpu, HeapBytes: heap, PeakBytes: heap * 16e3},
			ownerRequests:   ownerRequests{requests: requests{StreamingLists: 1}, Patches: reconciles + 1},
			FirstWait:       first, SecondWait: second,
		}
	}
	r := operatorReport{
		Machine:    machine{CPU: "Abacus", Cores: 2, Go: "go1.26", ClientGo: "v0.37.2", Controller: "v0.25.2", Date: "2026-03-02"},
		ownerSizes: ownerSizes{Workers: 1000, Others: 400, Each: 10}, Rate: 500,
		Series: []operatorSeries{
			{Operator: rateLimitedName, Title: "usual", Rounds: []operatorRound{
				round(150, eventWait{20, true}, eventWait{300, false}, 4, 20e3), round(160, eventWait{30, true}, eventWait{290, true}, 5, 20e3)}},
			{Operator: ownsName, Title: "owns", Rounds: []operatorRound{
				round(200, eventWait{0.5, true}, eventWait{0.1, true}, 8, 20e3), round(300, eventWait{0.5, true}, eventWait{0.1, true}, 8, 20e3)}},
			{Operator: "another", Title: "another", Rounds: []operatorRound{
				round(6, eventWait{1, true}, eventWait{1, true}, 1, 2e3), round(6, eventWait{1, true}, eventWait{1, true}, 1, 2e3)}},
		},
	}
	const want = `Abacus, 2 cores, go1.26, client-go v0.37.2, controller-runtime v0.25.2, 2026-03-02. 3,000 events of one owner's 1,000 workers, 500 a second; 400 other owners of 10 workers each. Medians, least and most in brackets.

| operator | reconciles of the owner | per event | its status has all ends after, s | the other owner's status after, s | CPU, s | of AddRateLimited | of Owns | heap per pod, kB | of Owns | peak memory, MB | of Owns | streaming lists | patches of a status | first statuses of all owners after, s |
|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|
| usual | 155 (150-160) | 0.0517 | 25.00 (20.00-30.00) | 295.00 (290.00-300.00), in 1 of 2 rounds not yet | 4.50 (4.00-5.00) | 1.00 | 0.56 | 20.0 | 1.00 | 320 | 1.00 | 1 | 156 (151-161) | 2.50 |
| owns | 250 (200-300) | 0.0833 | 0.50 | 0.10 | 8.00 | 1.80 | 1.00 | 20.0 | 1.00 | 320 | 1.00 | 1 | 251 (201-301) | 2.50 |
| another | 6 | 0.0020 | 1.00 | 1.00 | 1.00 | 0.23 | 0.12 | 2.0 | 0.10 | 32 | 0.10 | 1 | 7 | 2.50 |
`
	if got := r.markdown(); got != want {
		t.Errorf("table:\n%s\nwant:\n%s", got, want)
	}
	r.Rate, r.Series = 0, r.Series[2:]
	got := r.markdown()
	for _, part := range []string{"1,000 workers, as fast as the operator reads;", "| 1.00 | - | - | 2.0 | - |"} {
		if !strings.Contains(got, part) {
			t.Errorf("the table lacks %q:\n%s", part, got)
		}
	}
}
