// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// An assignment is what a consumer's process has to do.
type assignment struct {
	consumer   string
	kubeconfig string
	pods       int
	updates    int
	apps       int
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
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	recorder := newRecorder(a.samples != "", c.markers(a.apps))
	ctx, stop := context.WithCancel(ctx)
	defer stop()

	empty, err := readCollected()
	if err != nil {
		return err
	}
	view, err := c.start(ctx, env{config: config, client: client, recorder: recorder, pods: a.pods, updates: a.updates, apps: a.apps})
	if err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	complete, err := readUsage()
	if err != nil {
		return err
	}
	before, err := readCollected()
	if err != nil {
		return err
	}
	goroutines := runtime.NumGoroutine()
	fmt.Fprintln(out, readyLine)
	select {
	case <-recorder.ended:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	after, err := readUsage()
	if err != nil {
		return err
	}
	end, err := readCollected()
	if err != nil {
		return err
	}
	runtime.KeepAlive(view)
	most, err := peakMemory()
	if err != nil {
		return err
	}
	if a.samples != "" {
		if err := writeJSON(a.samples, recorder.samples); err != nil {
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
	})
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
	config.ContentType = protobufMedia
	config.AcceptContentTypes = protobufMedia
	config.QPS = -1
	return config, nil
}

func writeJSON(path string, value any) error {
	encoded, err := json.MarshalIndent(value, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(encoded, '\n'), 0o644)
}
