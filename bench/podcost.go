// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/executorpods/watchsource"
)

// executorKind stands for the executors of Spark with which the other commands measure.
const executorKind = "executor"

type podOptions struct {
	kinds   string
	pods    int // in the store
	calls   int // in each round
	rounds  int
	results string
}

func runPod(ctx context.Context, args []string, out, progress io.Writer) error {
	var o podOptions
	flags := newFlags(podCommand)
	flags.StringVar(&o.kinds, "kinds", strings.Join(append([]string{executorKind}, kindNames()...), ","), "measure with these `kinds` of pods")
	flags.IntVar(&o.pods, "pods", 200, "number of pods in the store")
	flags.IntVar(&o.calls, "calls", 20_000, "number of calls in each round")
	flags.IntVar(&o.rounds, "rounds", 5, "number of rounds")
	flags.StringVar(&o.results, "results", "pod.json", "write all figures to this `file`")
	if err := parse(flags, args); err != nil {
		return err
	}
	if o.pods < 1 || o.calls < 1 {
		return fmt.Errorf("-pods %d -calls %d: there must be a pod and a call", o.pods, o.calls)
	}
	report := podReport{Machine: thisMachine(), Pods: o.pods, Calls: o.calls}
	for kind := range strings.SplitSeq(o.kinds, ",") {
		s, err := comparePod(ctx, kind, o, progress)
		if err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
		report.Kinds = append(report.Kinds, s)
	}
	fmt.Fprint(out, report.markdown())
	if o.results != "" {
		return writeJSON(o.results, report)
	}
	return nil
}

// comparePod measures Executor.Pod and client-go's decoder in turn.
func comparePod(ctx context.Context, kind string, o podOptions, progress io.Writer) (s podSeries, err error) {
	d, stop, err := newDecoding(ctx, kind, o.pods)
	if err != nil {
		return s, err
	}
	defer stop()
	s.Kind = kind
	for round := range o.rounds {
		ours, err := costOf(d.pod, o.calls)
		if err != nil {
			return s, err
		}
		theirs, err := costOf(d.clientGo, o.calls)
		if err != nil {
			return s, err
		}
		s.Pod, s.ClientGo = append(s.Pod, ours), append(s.ClientGo, theirs)
		fmt.Fprintf(progress, "%s, round %d of %d: Pod() %.2f us, client-go %.2f us\n", kind, round+1, o.rounds, ours.CPUMicros, theirs.CPUMicros)
	}
	return s, nil
}

// A decoding has the same pods twice.
type decoding struct {
	executors []watchsource.Executor // of a store that has received the events of their pods
	objects   [][]byte               // of the last event of each pod, as the API server sends it
}

// decoder is how an informer decodes the object of an event.
var decoder = scheme.Codecs.WithoutConversion().DecoderToVersion(protobuf.Serializer, nil)

// pod decodes the k-th pod by Executor.Pod.
func (d *decoding) pod(k int) (*corev1.Pod, error) { return d.executors[k%len(d.executors)].Pod() }

// clientGo decodes the k-th pod from the object of its event.
func (d *decoding) clientGo(k int) (*corev1.Pod, error) {
	object, _, err := decoder.Decode(d.objects[k%len(d.objects)], nil, nil)
	if err != nil {
		return nil, err
	}
	return object.(*corev1.Pod), nil
}

// newDecoding feeds a store from a replay server in this process, until it has received as
// many updates as pods.
func newDecoding(ctx context.Context, kind string, pods int) (d *decoding, stop func(), err error) {
	s := newScript(pods, pods, 1)
	a := assignment{pods: pods, updates: pods, apps: 1}
	if kind != executorKind {
		known, err := kindNamed(kind)
		if err != nil {
			return nil, nil, err
		}
		s.kind, a.kind = &known, kind
	}
	ctx, stop = context.WithCancel(ctx)
	store, err := fill(ctx, s, a)
	if err != nil {
		stop()
		return nil, nil, err
	}
	if d, err = decodingOf(store.Snapshot(), s.lastFrames()); err != nil {
		stop()
		return nil, nil, err
	}
	return d, stop, nil
}

// decodingOf pairs the executors of a store with the frames that they were read from.
func decodingOf(snapshot watchsource.Snapshot, frames [][]byte) (*decoding, error) {
	d := &decoding{}
	for _, frame := range frames {
		object, err := objectOf(frame)
		if err != nil {
			return nil, err
		}
		d.objects = append(d.objects, object)
		pod, err := d.clientGo(len(d.objects) - 1)
		if err != nil {
			return nil, err
		}
		executor, ok := snapshot.Get(pod.Name)
		if !ok || executor.ResourceVersion != pod.ResourceVersion {
			return nil, fmt.Errorf("the store has the pod %s at version %q, not %s", pod.Name, executor.ResourceVersion, pod.ResourceVersion)
		}
		d.executors = append(d.executors, executor)
	}
	return d, nil
}

// fill returns a store that has received all that a script says.
func fill(ctx context.Context, s *script, a assignment) (*watchsource.Store, error) {
	e, err := a.env()
	if err != nil {
		return nil, err
	}
	if e.config, err = replayHere(ctx, s); err != nil {
		return nil, err
	}
	if e.client, err = kubernetes.NewForConfig(e.config); err != nil {
		return nil, err
	}
	e.recorder = newRecorder(false, 1)
	view, err := startWatchsource(ctx, e)
	if err != nil {
		return nil, err
	}
	select {
	case <-e.recorder.ended:
		return view.(*watchsource.Store), e.recorder.err()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// A podCost is what one call costs.
type podCost struct {
	CPUMicros   float64 `json:"cpuMicros"`   // user and system time, garbage collection included
	Allocations float64 `json:"allocations"` // objects
}

// costOf measures a number of calls.
func costOf(decode func(k int) (*corev1.Pod, error), calls int) (podCost, error) {
	before, err := readCollected()
	if err != nil {
		return podCost{}, err
	}
	for k := range calls {
		pod, err := decode(k)
		if err != nil {
			return podCost{}, err
		}
		runtime.KeepAlive(pod)
	}
	after, err := readUsage()
	if err != nil {
		return podCost{}, err
	}
	return podCost{
		CPUMicros:   micros(after.cpu-before.cpu) / float64(calls),
		Allocations: float64(after.allocations-before.allocations) / float64(calls),
	}, nil
}

// A podSeries is what both decoders cost in each round.
type podSeries struct {
	Kind     string    `json:"kind"`
	Pod      []podCost `json:"pod"`
	ClientGo []podCost `json:"clientGo"`
}

// A podReport is everything that one run of the pod command found.
type podReport struct {
	Machine machine     `json:"machine"`
	Pods    int         `json:"pods"`
	Calls   int         `json:"calls"`
	Kinds   []podSeries `json:"kinds"`
}

// markdown is the report as a table.
func (r podReport) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s. %s pods, %s calls in each round. Medians, least and most in brackets.\n\n", r.Machine, thousands(r.Pods), thousands(r.Calls))
	b.WriteString("| pod | Pod(), us | of client-go | allocations | client-go's decoder, us | allocations |\n")
	b.WriteString("|---|---:|---:|---:|---:|---:|\n")
	cpu := func(c podCost) float64 { return c.CPUMicros }
	allocations := func(c podCost) float64 { return c.Allocations }
	for _, s := range r.Kinds {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", s.Kind,
			spreadText(spreadOfEach(s.Pod, cpu), 1, 2), spreadText(ratioOfEach(s.Pod, s.ClientGo, cpu), 1, 2), number(spreadOfEach(s.Pod, allocations).median, 0),
			spreadText(spreadOfEach(s.ClientGo, cpu), 1, 2), number(spreadOfEach(s.ClientGo, allocations).median, 0))
	}
	return b.String()
}
