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
	sightings  string // file for what was seen when, "" if nobody asks
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
	config, err := loadConfig(a.kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	crowd := newAudience(a.sightings != "")
	ctx, stop := context.WithCancel(ctx)
	defer stop()

	empty, err := readCollected()
	if err != nil {
		return err
	}
	view, err := c.start(ctx, stage{config: config, client: client, audience: crowd, pods: a.pods, updates: a.updates})
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
	fmt.Fprintln(out, readyLine)
	select {
	case <-crowd.ended:
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
	if a.sightings != "" {
		if err := writeJSON(a.sightings, crowd.sightings); err != nil {
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
	})
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }

func grown(from, to reading) float64 { return float64(to.heap) - float64(from.heap) }

// loadConfig is the same for all consumers: protobuf, and nobody waits for a
// rate limit of its own.
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
