// SPDX-License-Identifier: Apache-2.0

package main

import (
	"sync"
	"time"
)

// An audience is the user's code: each consumer calls see with every pod that
// it is shown, the initial ones included, from one goroutine at a time.
type audience struct {
	recording bool
	sightings []sighting
	ended     chan struct{} // closed when the marker has been seen
	end       func()        // for a consumer that does not look at what it reads
}

// A sighting is the moment at which the user's code saw a version of a pod.
type sighting struct {
	Pod     string `json:"pod"`
	Version string `json:"version"`
	At      int64  `json:"at"` // Unix time in nanoseconds, the writer's clock as well
}

func newAudience(recording bool) *audience {
	ended := make(chan struct{})
	a := &audience{recording: recording, ended: ended, end: sync.OnceFunc(func() { close(ended) })}
	if recording {
		a.sightings = make([]sighting, 0, 1<<16)
	}
	return a
}

func (a *audience) see(pod, version string) {
	if a.recording {
		a.sightings = append(a.sightings, sighting{Pod: pod, Version: version, At: time.Now().UnixNano()})
	}
	if pod == markerName {
		a.end()
	}
}
