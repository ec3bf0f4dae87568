// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

// fixedReport has figures that can be reckoned with in the head.
func fixedReport() report {
	round := func(cpu, heap float64) figures {
		return figures{ViewSeconds: 1.5, ViewCPUMicros: 150, HeapBytes: heap, EventSeconds: 2.25, EventCPUMicros: cpu, Allocations: 240, EndHeapBytes: heap, PeakBytes: 64e6}
	}
	return report{
		Machine: machine{CPU: "Abacus", Cores: 2, Go: "go1.26", ClientGo: "v0.37.2", Controller: "v0.25.2", Date: "2026-03-02"},
		Flush:   flushEach,
		Comparisons: []comparison{{Pods: 10_000, Updates: 20_000, Series: []series{
			{Consumer: floorName, Title: "frames read, nothing else", Rounds: []figures{round(10, 0), round(20, 0), round(15, 0)}},
			{Consumer: informerName, Title: "SharedInformer", Rounds: []figures{round(100, 16e3), round(200, 16e3), round(120, 16e3)}},
			{Consumer: "watchsource-podless", Title: "watchsource, no pods kept", Rounds: []figures{round(25, 4e3), round(40, 4e3), round(60, 4e3)}},
		}}},
	}
}

func TestTable(t *testing.T) {
	const want = `Abacus, 2 cores, go1.26, client-go v0.37.2, controller-runtime v0.25.2, 2026-03-02. Medians, least and most in brackets; flush: each.

| pods | consumer | CPU per event, us | of SharedInformer | of the floor | allocations per event | heap per pod, kB | of SharedInformer | peak memory, MB | view complete, s | its CPU per pod, us | all updates, s |
|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|
| 10,000 | frames read, nothing else | 15.0 (10.0-20.0) | 0.10 | 1.00 | 240 | - | - | 64 | 1.50 | 150 | 2.25 |
| 10,000 | SharedInformer | 120.0 (100.0-200.0) | 1.00 | 10.00 | 240 | 16.0 | 1.00 | 64 | 1.50 | 150 | 2.25 |
| 10,000 | watchsource, no pods kept | 40.0 (25.0-60.0) | 0.25 | 2.50 | 240 | 4.0 | 0.25 | 64 | 1.50 | 150 | 2.25 |
`
	if got := fixedReport().markdown(); got != want {
		t.Errorf("table:\n%s\nwant:\n%s", got, want)
	}
}

// A size without the informer has no ratio to it.
func TestTableWithoutRivals(t *testing.T) {
	r := fixedReport()
	r.Comparisons[0].Series = r.Comparisons[0].Series[2:]
	if got := r.markdown(); !strings.Contains(got, "| 40.0 (25.0-60.0) | - | - |") {
		t.Errorf("table:\n%s", got)
	}
}

func TestChart(t *testing.T) {
	c, ok := fixedReport().headline()
	if !ok {
		t.Fatal("no headline")
	}
	cpu, memory := cpuChart(c).svg(), memoryChart(c).svg()
	for name, svg := range map[string][]byte{"cpu": cpu, "memory": memory} {
		if err := wellFormed(svg); err != nil {
			t.Errorf("%s chart: %v", name, err)
		}
		for _, want := range []string{"prefers-color-scheme: dark", "10,000 pods", ">SharedInformer<"} {
			if !bytes.Contains(svg, []byte(want)) {
				t.Errorf("%s chart lacks %q", name, want)
			}
		}
	}
	// 200 us is as long as there is room, 420 pixels.
	for _, want := range []string{
		`<rect class="bar" x="260" y="90" width="252.0"`,      // 120 us
		`<rect class="bar ours" x="260" y="118" width="84.0"`, // 40 us
		`<line class="range" x1="470.0" y1="99" x2="680.0"`,   // 100 to 200 us
		`>40.0 us (25 %)<`,
	} {
		if !bytes.Contains(cpu, []byte(want)) {
			t.Errorf("cpu chart lacks %q:\n%s", want, cpu)
		}
	}
	if bytes.Contains(memory, []byte("nothing else")) {
		t.Error("memory chart shows the floor, which keeps nothing")
	}
}

func wellFormed(document []byte) error {
	decoder := xml.NewDecoder(bytes.NewReader(document))
	for {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}
