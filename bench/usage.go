// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A reading is what this process has used up to a moment.
type reading struct {
	at          time.Time
	cpu         time.Duration // user and system, as the kernel counts them
	allocations uint64        // objects
	heap        uint64        // bytes of live and of not yet collected objects
}

func readUsage() (reading, error) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return reading{}, fmt.Errorf("getrusage: %w", err)
	}
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	return reading{
		at:          time.Now(),
		cpu:         time.Duration(usage.Utime.Nano() + usage.Stime.Nano()),
		allocations: memory.Mallocs,
		heap:        memory.HeapAlloc,
	}, nil
}

// readCollected reads after the garbage has gone: twice, because what a
// finalizer or a pool holds outlives one collection.
func readCollected() (reading, error) {
	runtime.GC()
	runtime.GC()
	return readUsage()
}

// peakMemory is the most that this process has had resident.
func peakMemory() (int64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kilobytes, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kilobytes << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/self/status has no VmHWM")
}
