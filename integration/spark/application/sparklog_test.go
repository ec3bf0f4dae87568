// SPDX-License-Identifier: Apache-2.0

package application

import (
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"time"
)

// A sparkEvent is a line of Spark's event log that is about an executor.
type sparkEvent struct {
	Kind       string `json:"Event"`
	Millis     int64  `json:"Timestamp"`
	ExecutorID string `json:"Executor ID"`
	Reason     string `json:"Removed Reason"`
}

const (
	executorAdded   = "SparkListenerExecutorAdded"
	executorRemoved = "SparkListenerExecutorRemoved"
)

func (e sparkEvent) at() time.Time { return time.UnixMilli(e.Millis) }

// events returns the first event of one kind for each executor id. Spark may log a removal
// twice: when the connection has ended, and when it has the reason from the pod.
func (d *driver) events(kind string) map[string]sparkEvent {
	d.t.Helper()
	content, err := os.ReadFile(d.eventLog + ".inprogress")
	if os.IsNotExist(err) {
		content, err = os.ReadFile(d.eventLog)
	}
	if err != nil && !os.IsNotExist(err) {
		d.t.Fatal(err)
	}
	events := map[string]sparkEvent{}
	for line := range strings.Lines(string(content)) {
		if !strings.HasSuffix(line, "\n") || !strings.Contains(line, kind) {
			continue // the driver is writing the last line
		}
		var e sparkEvent
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			d.t.Fatalf("event log: %v: %s", err, line)
		}
		if _, known := events[e.ExecutorID]; e.Kind == kind && !known {
			events[e.ExecutorID] = e
		}
	}
	return events
}

// watched returns when Spark's watch source received its events, by the name of the pod,
// from the log of the driver.
func (d *driver) watched() map[string][]time.Time {
	d.t.Helper()
	times := map[string][]time.Time{}
	const before = "Received executor pod update for pod named "
	for _, line := range d.lines(before) {
		_, rest, _ := strings.Cut(line, before)
		pod, _, found := strings.Cut(rest, ",")
		millis, err := strconv.ParseInt(line[:strings.IndexByte(line, ' ')], 10, 64)
		if err != nil || !found {
			d.t.Fatalf("driver's log: cannot read the line %q: %v", line, err)
		}
		times[pod] = append(times[pod], time.UnixMilli(millis))
	}
	return times
}
