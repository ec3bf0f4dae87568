// SPDX-License-Identifier: Apache-2.0

package main

import (
	"sync"
	"time"
)

// A recorder stands for the user's code: each consumer calls see with every pod that it is
// shown, including the initial ones, from one goroutine at a time.
type recorder struct {
	recording bool
	samples   []sample
	ended     chan struct{} // closed when the marker has been seen
	end       func()        // for a consumer that does not decode pods
}

// A sample is the moment at which the user's code saw a version of a pod.
type sample struct {
	Pod     string `json:"pod"`
	Version string `json:"version"`
	At      int64  `json:"at"` // Unix time in nanoseconds, the writer's clock as well
}

func newRecorder(recording bool) *recorder {
	ended := make(chan struct{})
	a := &recorder{recording: recording, ended: ended, end: sync.OnceFunc(func() { close(ended) })}
	if recording {
		a.samples = make([]sample, 0, 1<<16)
	}
	return a
}

func (a *recorder) see(pod, version string) {
	if a.recording {
		a.samples = append(a.samples, sample{Pod: pod, Version: version, At: time.Now().UnixNano()})
	}
	if pod == markerName {
		a.end()
	}
}
