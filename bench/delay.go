// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
)

// Delays are milliseconds until the user's code saw an update, from when the
// writer sent it and from when the writer had its answer. The second may be
// negative: the API server does not wait with the event until it has answered.
type delays struct {
	Sent50     float64 `json:"sent50"`
	Sent99     float64 `json:"sent99"`
	Answered50 float64 `json:"answered50"`
	Answered99 float64 `json:"answered99"`
}

func readSightings(path string) ([]sample, error) {
	encoded, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var seen []sample
	if err := json.Unmarshal(encoded, &seen); err != nil {
		return nil, fmt.Errorf("read samples: %w", err)
	}
	return seen, nil
}

// delaysOf matches writes with samples. An update counts as seen with the first state of
// its pod that is not older, because some consumers merge states.
func delaysOf(writes []write, seen []sample) (delays, error) {
	byPod := map[string][]versionSeen{}
	for _, s := range seen {
		version, err := parseVersion(s.Version)
		if err != nil {
			return delays{}, err
		}
		byPod[s.Pod] = append(byPod[s.Pod], versionSeen{version, s.At})
	}
	sent, answered := make([]float64, 0, len(writes)), make([]float64, 0, len(writes))
	for _, w := range writes {
		version, err := parseVersion(w.version)
		if err != nil {
			return delays{}, err
		}
		states := byPod[w.pod]
		i := slices.IndexFunc(states, func(s versionSeen) bool { return s.version >= version })
		if i < 0 {
			return delays{}, fmt.Errorf("version %s of pod %s was never seen", w.version, w.pod)
		}
		sent = append(sent, float64(states[i].at-w.sent)/1e6)
		answered = append(answered, float64(states[i].at-w.answered)/1e6)
	}
	return delays{
		Sent50:     percentile(sent, 50),
		Sent99:     percentile(sent, 99),
		Answered50: percentile(answered, 50),
		Answered99: percentile(answered, 99),
	}, nil
}

type versionSeen struct {
	version uint64
	at      int64
}

func parseVersion(version string) (uint64, error) {
	n, err := strconv.ParseUint(version, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("resource version: %w", err)
	}
	return n, nil
}

// percentile is the least value that p of a hundred do not exceed.
func percentile(values []float64, p int) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[max((len(values)*p+99)/100-1, 0)]
}
