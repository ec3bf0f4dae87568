// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"k8s.io/client-go/kubernetes"
)

// compareAppsReal lets each consumer in turn watch all applications on a real API server,
// and measures its cost to the server.
func compareAppsReal(ctx context.Context, p plan, o appsOptions, out, progress io.Writer) error {
	dir, err := os.MkdirTemp("", "watchsource-bench-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	stop, err := findCluster(ctx, &o.kubeconfig, dir, progress)
	if err != nil {
		return err
	}
	defer stop()
	w := &writer{pods: p.pods, apps: p.apps}
	if err := w.prepare(ctx, o.kubeconfig, progress); err != nil {
		return err
	}
	report := appsRealReport{Machine: thisMachine(), Apps: p.apps, Pods: p.pods, Updates: p.updates}
	named, err := realConsumers(strings.Join(p.consumers, ","))
	if err != nil {
		return err
	}
	for _, c := range named {
		report.Series = append(report.Series, appsRealSeries{series: series{Consumer: c.name, Title: c.title}})
	}
	for round := range p.rounds {
		for i := range report.Series {
			s := &report.Series[i]
			f, costs, err := appsRealRound(ctx, s.Consumer, p, o.kubeconfig, w)
			if err != nil {
				return fmt.Errorf("%s: %w", s.Consumer, err)
			}
			s.Rounds, s.Server = append(s.Rounds, f), append(s.Server, costs)
			fmt.Fprintf(progress, "round %d of %d, %s: %.0f writes per second, %.0f us of the API server's CPU per write\n",
				round+1, p.rounds, s.Consumer, costs.WritesPerSecond, costs.WriteCPUMicros)
		}
	}
	fmt.Fprint(out, report.markdown())
	return writeJSON(o.results, report)
}

// serverCosts are what a consumer costs the API server in one round.
type serverCosts struct {
	StartCPUSeconds float64 `json:"startCPUSeconds"` // until the consumer's views are complete
	HeapBytes       float64 `json:"heapBytes"`       // more than without the consumer
	WritesPerSecond float64 `json:"writesPerSecond"`
	WriteCPUMicros  float64 `json:"writeCPUMicros"` // per write
}

// appsRealRound measures one consumer once. The writer makes its updates as fast as it can.
func appsRealRound(ctx context.Context, consumer string, p plan, kubeconfig string, w *writer) (f figures, costs serverCosts, err error) {
	ctx, cancel := context.WithTimeout(ctx, roundTimeout)
	defer cancel()
	if err := w.removeMarkers(ctx); err != nil {
		return f, costs, err
	}
	empty, err := readServerUsage(ctx, w.client)
	if err != nil {
		return f, costs, err
	}
	args := []string{
		"-consumer", consumer, "-kubeconfig", kubeconfig,
		"-apps", strconv.Itoa(p.apps), "-pods", strconv.Itoa(p.pods), "-updates", strconv.Itoa(p.updates),
	}
	process, err := startConsumer(ctx, args...)
	if err != nil {
		return f, costs, err
	}
	defer process.kill()
	f, err = measure(process, func() error {
		complete, err := readServerUsage(ctx, w.client)
		if err != nil {
			return err
		}
		began := time.Now()
		if _, err := w.churn(ctx, p.updates, 0); err != nil {
			return err
		}
		took := time.Since(began)
		after, err := readServerUsage(ctx, w.client)
		if err != nil {
			return err
		}
		costs = serverCosts{
			StartCPUSeconds: complete.cpuBefore - empty.cpu,
			HeapBytes:       complete.heap - empty.heap,
			WritesPerSecond: float64(p.updates) / took.Seconds(),
			WriteCPUMicros:  (after.cpuBefore - complete.cpu) * 1e6 / float64(p.updates),
		}
		return w.createMarkers(ctx)
	})
	return f, costs, err
}

// serverUsage is what the API server has used. The reading itself needs CPU.
type serverUsage struct {
	cpuBefore float64 // seconds, before the reading
	heap      float64 // bytes of live objects and of stacks
	cpu       float64 // seconds, after the reading
}

func readServerUsage(ctx context.Context, client kubernetes.Interface) (serverUsage, error) {
	before, err := readServerMetrics(ctx, client)
	if err != nil {
		return serverUsage{}, err
	}
	// The profile is not used. To make it, the server collects its garbage.
	if _, err := getRaw(ctx, client, "/debug/pprof/heap", "gc", "1"); err != nil {
		return serverUsage{}, fmt.Errorf("collect the API server's garbage: %w", err)
	}
	after, err := readServerMetrics(ctx, client)
	if err != nil {
		return serverUsage{}, err
	}
	return serverUsage{cpuBefore: before.cpu, heap: after.heap, cpu: after.cpu}, nil
}

type serverMetrics struct{ cpu, heap float64 }

func readServerMetrics(ctx context.Context, client kubernetes.Interface) (serverMetrics, error) {
	text, err := getRaw(ctx, client, "/metrics")
	if err != nil {
		return serverMetrics{}, fmt.Errorf("read the API server's metrics: %w", err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		return serverMetrics{}, fmt.Errorf("parse the API server's metrics: %w", err)
	}
	value := func(name string) float64 {
		metrics := families[name].GetMetric()
		if len(metrics) != 1 {
			err = fmt.Errorf("the API server has %d metrics %s, want 1", len(metrics), name)
			return 0
		}
		return metrics[0].GetGauge().GetValue() + metrics[0].GetCounter().GetValue()
	}
	read := serverMetrics{
		cpu:  value("process_cpu_seconds_total"),
		heap: value("go_memstats_heap_alloc_bytes") + value("go_memstats_stack_inuse_bytes"),
	}
	return read, err
}

// getRaw gets a text of the API server.
func getRaw(ctx context.Context, client kubernetes.Interface, path string, parameter ...string) (string, error) {
	request := client.Discovery().RESTClient().Get().AbsPath(path).SetHeader("Accept", "text/plain")
	for i := 0; i+1 < len(parameter); i += 2 {
		request.Param(parameter[i], parameter[i+1])
	}
	text, err := request.DoRaw(ctx)
	return string(text), err
}

// An appsRealReport is everything that one run on a real API server found.
type appsRealReport struct {
	Machine machine          `json:"machine"`
	Apps    int              `json:"apps"`
	Pods    int              `json:"pods"`
	Updates int              `json:"updates"`
	Series  []appsRealSeries `json:"series"`
}

// An appsRealSeries also has the costs of the API server in each round.
type appsRealSeries struct {
	series
	Server []serverCosts `json:"server"`
}

func (s appsRealSeries) cost(pick func(serverCosts) float64) spread {
	return spreadOfEach(s.Server, pick)
}

func (s appsRealSeries) costRatio(to appsRealSeries, pick func(serverCosts) float64) spread {
	return ratioOfEach(s.Server, to.Server, pick)
}

// markdown is the report as a table.
func (r appsRealReport) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s. kube-apiserver, %s applications, %s pods, %s updates per round as fast as possible. Medians, least and most in brackets.\n\n",
		r.Machine, thousands(r.Apps), thousands(r.Pods), thousands(r.Updates))
	b.WriteString("| consumer | writes per second | of one source | the API server's CPU per write, us | of one source | its heap, MB more | its CPU until all complete, s | all complete, s | consumer's CPU per event, us | its heap, MB | its peak memory, MB |\n")
	b.WriteString("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n")
	var one appsRealSeries
	for _, s := range r.Series {
		if s.Consumer == oneSourceName {
			one = s
		}
	}
	speed := func(c serverCosts) float64 { return c.WritesPerSecond }
	cpu := func(c serverCosts) float64 { return c.WriteCPUMicros }
	for _, s := range r.Series {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", s.Title,
			spreadText(s.cost(speed), 1, 0), ratioText(s.costRatio(one, speed)),
			spreadText(s.cost(cpu), 1, 0), ratioText(s.costRatio(one, cpu)),
			number(s.cost(func(c serverCosts) float64 { return c.HeapBytes }).median/1e6, 0),
			number(s.cost(func(c serverCosts) float64 { return c.StartCPUSeconds }).median, 2),
			spreadText(s.spread(viewTime), 1, 2),
			number(s.spread(eventCPU).median, 0),
			number(s.spread(heap).median*float64(r.Pods)/1e6, 1),
			number(s.spread(peak).median/1e6, 0))
	}
	return b.String()
}
