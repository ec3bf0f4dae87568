// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A recorder stands for the user's code: each consumer calls see with every pod that it is
// shown, including the initial ones. A recorder that records samples is called from one
// goroutine at a time.
type recorder struct {
	recording bool
	samples   []sample
	missing   atomic.Int64  // markers
	decoded   atomic.Int64  // calls of Executor.Pod
	ended     chan struct{} // closed when all markers have been seen, or the consumer has failed
	end       func()        // for a consumer that does not decode pods

	mu      sync.Mutex
	failure error // why the consumer ended before the markers
}

// A sample is the moment at which the user's code saw a version of a pod.
type sample struct {
	Pod     string `json:"pod"`
	Version string `json:"version"`
	At      int64  `json:"at"` // Unix time in nanoseconds, the writer's clock as well
}

// newRecorder returns a recorder that ends after a number of markers.
func newRecorder(recording bool, markers int) *recorder {
	ended := make(chan struct{})
	a := &recorder{recording: recording, ended: ended, end: sync.OnceFunc(func() { close(ended) })}
	a.missing.Store(int64(markers))
	if recording {
		a.samples = make([]sample, 0, 1<<16)
	}
	return a
}

func (a *recorder) see(pod, version string) {
	if a.recording {
		a.samples = append(a.samples, sample{Pod: pod, Version: version, At: time.Now().UnixNano()})
	}
	if strings.HasPrefix(pod, markerName) && a.missing.Add(-1) == 0 {
		a.end()
	}
}

// fail ends the recording for a consumer that cannot go on.
func (a *recorder) fail(err error) {
	a.mu.Lock()
	a.failure = errors.Join(a.failure, err)
	a.mu.Unlock()
	a.end()
}

// err returns why the consumer failed, nil if it did not.
func (a *recorder) err() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.failure
}
