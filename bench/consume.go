// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/pprof"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/podtest"
)

// An assignment is what a consumer's process has to do.
type assignment struct {
	consumer   string
	kubeconfig string
	pods       int
	updates    int
	apps       int
	kind       string // of pods, "" for executors of Spark
	watches    int    // how often the consumer is started
	resumed    bool   // the first watches end before they are measured
	profile    string // file for a profile of the CPU, "" for none
	heap       string // file for a profile of the heap, "" for none
	samples    string // file for the times at which versions were seen, "" for none
}

// Lines on a consumer's standard output. The first says that the view is
// complete and updates may begin; the second is the figures in JSON.
const readyLine = "ready"

// consume runs one consumer until it has seen the marker, and measures it.
func consume(ctx context.Context, a assignment, out io.Writer) error {
	c, err := consumerNamed(a.consumer)
	if err != nil {
		return err
	}
	if c.start == nil {
		return fmt.Errorf("%s is not a consumer of this program", c.name)
	}
	config, err := loadConfig(a.kubeconfig)
	if err != nil {
		return err
	}
	wire := newWire(config)
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()

	empty, err := readCollected()
	if err != nil {
		return err
	}
	e, err := a.env()
	if err != nil {
		return err
	}
	e.config, e.client = config, client
	users, err := startUsers(ctx, c, a, e)
	if err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	if a.resumed {
		if err := wire.resume(ctx, len(users)); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	complete, err := readUsage()
	if err != nil {
		return err
	}
	before, err := readCollected()
	if err != nil {
		return err
	}
	if err := writeHeapProfile(a.heap); err != nil {
		return err
	}
	goroutines := runtime.NumGoroutine()
	stopProfile, err := startProfile(a.profile)
	if err != nil {
		return err
	}
	readBefore, writtenBefore, decodedBefore := wire.read.Load(), wire.written.Load(), decodedPods(users)
	fmt.Fprintln(out, readyLine)
	for _, u := range users {
		select {
		case <-u.recorder.ended:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err := u.recorder.err(); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	after, err := readUsage()
	if err != nil {
		return err
	}
	if err := stopProfile(); err != nil {
		return err
	}
	end, err := readCollected()
	if err != nil {
		return err
	}
	runtime.KeepAlive(users)
	most, err := peakMemory()
	if err != nil {
		return err
	}
	if a.samples != "" {
		if err := writeJSON(a.samples, users[0].recorder.samples); err != nil {
			return err
		}
	}
	pods, updates := float64(a.pods), float64(a.updates)
	return json.NewEncoder(out).Encode(figures{
		ViewSeconds:    complete.at.Sub(empty.at).Seconds(),
		ViewCPUMicros:  micros(complete.cpu-empty.cpu) / pods,
		HeapBytes:      grown(empty, before) / pods,
		EventSeconds:   after.at.Sub(before.at).Seconds(),
		EventCPUMicros: micros(after.cpu-before.cpu) / updates,
		Allocations:    float64(after.allocations-before.allocations) / updates,
		EndHeapBytes:   grown(empty, end) / pods,
		PeakBytes:      float64(most),
		Goroutines:     float64(goroutines),
		ReadBytes:      float64(wire.read.Load()-readBefore) / updates,
		WrittenBytes:   float64(wire.written.Load()-writtenBefore) / updates,
		DecodedPods:    float64(decodedPods(users)-decodedBefore) / updates,
	})
}

// env returns the environment of the consumer without a client.
func (a assignment) env() (env, error) {
	e := env{selector: podSelector, pods: a.pods, updates: a.updates, apps: a.apps}
	if a.kind == "" {
		return e, nil
	}
	if _, err := kindNamed(a.kind); err != nil {
		return e, err
	}
	e.selector = labels.SelectorFromSet(podtest.KindLabels())
	e.storeOptions = []watchsource.StoreOption{
		watchsource.WithExecutorIDLabel(podtest.KindIDLabel), watchsource.WithExecutorContainer(podtest.KindContainer),
	}
	return e, nil
}

// A user is one of the consumers of a process.
type user struct {
	view     any
	recorder *recorder
}

// decodedPods returns how often the users have called Executor.Pod.
func decodedPods(users []user) (calls int64) {
	for _, u := range users {
		calls += u.recorder.decoded.Load()
	}
	return calls
}

// usersAtOnce is how many consumers are started at a time.
const usersAtOnce = 8

// startUsers starts the consumer as often as the assignment says. The first one records samples.
func startUsers(ctx context.Context, c consumer, a assignment, e env) ([]user, error) {
	users := make([]user, max(a.watches, 1))
	var group errgroup.Group // without a context, which would end with the start
	group.SetLimit(usersAtOnce)
	for i := range users {
		group.Go(func() (err error) {
			e := e
			e.recorder = newRecorder(a.samples != "" && i == 0, c.markers(a.apps))
			users[i].recorder = e.recorder
			users[i].view, err = c.start(ctx, e)
			return err
		})
	}
	return users, group.Wait()
}

// startProfile starts a profile of the CPU, unless path is empty.
func startProfile(path string) (stop func() error, err error) {
	if path == "" {
		return func() error { return nil }, nil
	}
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return nil, err
	}
	return func() error {
		pprof.StopCPUProfile()
		return file.Close()
	}, nil
}

// writeHeapProfile writes what was allocated and is still used, unless path is empty.
func writeHeapProfile(path string) error {
	if path == "" {
		return nil
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	return pprof.Lookup("heap").WriteTo(file, 0)
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }

func grown(from, to reading) float64 { return float64(to.heap) - float64(from.heap) }

// loadConfig returns the same configuration for all consumers: protobuf, and no
// client-side rate limit.
func loadConfig(kubeconfig string) (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig: %w", err)
	}
	return withProtobuf(config), nil
}

func withProtobuf(config *rest.Config) *rest.Config {
	config.ContentType = protobufMedia
	config.AcceptContentTypes = protobufMedia
	config.QPS = -1
	return config
}

func writeJSON(path string, value any) error {
	encoded, err := json.MarshalIndent(value, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(encoded, '\n'), 0o644)
}
