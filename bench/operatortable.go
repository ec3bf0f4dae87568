// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// An operatorReport is everything that one run of the operator command found.
type operatorReport struct {
	Machine machine `json:"machine"`
	ownerSizes
	Rate   int              `json:"rate"` // events a second, 0 for as fast as the operator reads
	Series []operatorSeries `json:"series"`
}

// An operatorSeries is one operator in each round.
type operatorSeries struct {
	Operator string          `json:"operator"`
	Title    string          `json:"title"`
	Rounds   []operatorRound `json:"rounds"`
}

// An operatorRound is one operator in one round.
type operatorRound struct {
	operatorFigures
	ownerRequests
	FirstWait  eventWait `json:"firstWait"`  // from the last event of the first owner until its status has it
	SecondWait eventWait `json:"secondWait"` // from the event of the second owner until its status has it
}

// An eventWait is the time from an event until the status of the owner has it.
type eventWait struct {
	Seconds float64 `json:"seconds"`
	Seen    bool    `json:"seen"` // if not, the round ended after Seconds
}

func (w eventWait) String() string {
	if w.Seen {
		return number(w.Seconds, 2)
	}
	return fmt.Sprintf("more than %.0f", w.Seconds)
}

var errNotSent = errors.New("the limit came before the server had sent all events: use a longer -limit")

// reckon computes the waits. The server and the operator use the clock of one machine.
func (r *operatorRound) reckon() error {
	if r.LastOfFirst == 0 || r.Second == 0 {
		return errNotSent
	}
	r.FirstWait = waitFrom(r.LastOfFirst, r.FirstSeen, r.Ended)
	r.SecondWait = waitFrom(r.Second, r.SecondSeen, r.Ended)
	return nil
}

// waitFrom returns the wait from the moment an event was sent to the one when the status had it, 0 for never.
func waitFrom(sent, seen, ended int64) eventWait {
	if seen == 0 {
		return eventWait{Seconds: time.Duration(ended - sent).Seconds()}
	}
	return eventWait{Seconds: time.Duration(seen - sent).Seconds(), Seen: true}
}

func (r operatorReport) of(operator string) operatorSeries {
	i := slices.IndexFunc(r.Series, func(s operatorSeries) bool { return s.Operator == operator })
	if i < 0 {
		return operatorSeries{}
	}
	return r.Series[i]
}

// markdown is the report as a table.
func (r operatorReport) markdown() string {
	var b strings.Builder
	pace := "as fast as the operator reads"
	if r.Rate > 0 {
		pace = fmt.Sprintf("%s a second", thousands(r.Rate))
	}
	fmt.Fprintf(&b, "%s. %s events of one owner's %s workers, %s; %s other owners of %s workers each. Medians, least and most in brackets.\n\n",
		r.Machine, thousands(r.events()), thousands(r.Workers), pace, thousands(r.Others), thousands(r.Each))
	b.WriteString("| operator | reconciles of the owner | per event | its status has all ends after, s | the other owner's status after, s | CPU, s | of AddRateLimited | of Owns | heap per pod, kB | of Owns | peak memory, MB | of Owns | streaming lists | patches of a status | first statuses of all owners after, s |\n")
	b.WriteString("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n")
	limited, owns := r.of(rateLimitedName).Rounds, r.of(ownsName).Rounds
	ofFirst := func(o operatorRound) float64 { return float64(o.FirstReconciles) }
	cpu := func(o operatorRound) float64 { return o.CPUSeconds }
	heap := func(o operatorRound) float64 { return o.HeapBytes }
	peak := func(o operatorRound) float64 { return o.PeakBytes }
	for _, s := range r.Series {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", s.Title,
			spreadText(spreadOfEach(s.Rounds, ofFirst), 1, 0),
			number(spreadOfEach(s.Rounds, ofFirst).median/float64(r.events()), 4),
			waitsText(s.Rounds, func(o operatorRound) eventWait { return o.FirstWait }),
			waitsText(s.Rounds, func(o operatorRound) eventWait { return o.SecondWait }),
			spreadText(spreadOfEach(s.Rounds, cpu), 1, 2),
			ratioText(ratioOfEach(s.Rounds, limited, cpu)), ratioText(ratioOfEach(s.Rounds, owns, cpu)),
			number(spreadOfEach(s.Rounds, heap).median/1e3, 1), ratioText(ratioOfEach(s.Rounds, owns, heap)),
			number(spreadOfEach(s.Rounds, peak).median/1e6, 0), ratioText(ratioOfEach(s.Rounds, owns, peak)),
			number(spreadOfEach(s.Rounds, func(o operatorRound) float64 { return float64(o.StreamingLists) }).median, 0),
			spreadText(spreadOfEach(s.Rounds, func(o operatorRound) float64 { return float64(o.Patches) }), 1, 0),
			spreadText(spreadOfEach(s.Rounds, func(o operatorRound) float64 { return o.ViewSeconds }), 1, 2))
	}
	return b.String()
}

// waitsText is the spread of the waits. If one of them did not end, the median and the most are
// only as long as the round was, and the text says so.
func waitsText(rounds []operatorRound, pick func(operatorRound) eventWait) string {
	text := spreadText(spreadOfEach(rounds, func(o operatorRound) float64 { return pick(o).Seconds }), 1, 2)
	unseen := 0
	for _, r := range rounds {
		if !pick(r).Seen {
			unseen++
		}
	}
	if unseen > 0 {
		text += fmt.Sprintf(", in %d of %d rounds not yet", unseen, len(rounds))
	}
	return text
}
