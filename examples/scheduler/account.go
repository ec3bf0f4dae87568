// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/executorpods/watchsource"
)

// account tells people what happens, line by line, and in the end sums it up.
// It may be used by any goroutine.
type account struct {
	start time.Time // fixed after newAccount

	mu        sync.Mutex
	out       io.Writer
	refusal   string // the last reason for which no executor could be created
	creations int
	kept      int
	ends      map[outcome]int
	causes    map[string]int // of failures
	watch     watchsource.Status
	left      int
}

func newAccount(out io.Writer) *account {
	return &account{start: time.Now(), out: out, ends: map[outcome]int{}, causes: map[string]int{}}
}

func (a *account) say(format string, args ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.line(format, args...)
}

// line writes with a clock that starts with the program. a.mu is held.
func (a *account) line(format string, args ...any) {
	fmt.Fprintf(a.out, "%5.1fs  %s\n", time.Since(a.start).Seconds(), fmt.Sprintf(format, args...))
}

// adopted tells of an executor that this run has not created.
func (a *account) adopted(e watchsource.Executor) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.kept++
	a.line("executor %s is there already and is kept", e.ID)
}

// lost tells of an executor that works no more.
func (a *account) lost(end ending) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ends[end.outcome]++
	if end.outcome == failed {
		a.causes[cause(end.executor)]++
	}
	a.line("%s", describe(end))
}

// created tells of the executors that were created, whose ids are consecutive.
func (a *account) created(ids []int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.creations += len(ids)
	switch len(ids) {
	case 0:
		return
	case 1:
		a.line("created executor %d", ids[0])
	default:
		a.line("created executors %d to %d", ids[0], ids[len(ids)-1])
	}
	a.refusal = ""
}

// refused tells why an executor could not be created, and does not repeat
// itself before one could.
func (a *account) refused(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if refusal := briefly(err).Error(); refusal != a.refusal {
		a.refusal = refusal
		a.line("could not create an executor, trying again: %s", refusal)
	}
}

// briefly leaves out which request it was that failed.
func briefly(err error) error {
	if failed, ok := errors.AsType[*url.Error](err); ok {
		return failed.Err
	}
	return err
}

// watched notes how the watch ended and how many executors it still saw.
func (a *account) watched(status watchsource.Status, left int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.watch, a.left = status, left
}

func (a *account) summary() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.line("summary")
	for _, row := range []struct {
		name  string
		value any
	}{
		{"executors created", a.creations},
		{"found and kept", a.kept},
		{"failed", counted(a.ends[failed], a.causes)},
		{"ended by themselves", a.ends[finished]},
		{"deleted by others", a.ends[deleted]},
		{"missing", a.ends[vanished]},
		{"left behind", a.left},
		{"the watch", fmt.Sprintf("%v; events %d, lists %d, relists %d, resumes %d, errors %d", a.watch.Phase,
			a.watch.Events, a.watch.Lists, a.watch.Relists, a.watch.Resumes, a.watch.Errors)},
	} {
		fmt.Fprintf(a.out, "        %-24s%v\n", row.name, row.value)
	}
}

// counted writes a total and what it consists of.
func counted(total int, parts map[string]int) string {
	if total == 0 {
		return "0"
	}
	var words []string
	for _, part := range slices.Sorted(maps.Keys(parts)) {
		words = append(words, fmt.Sprintf("%d x %s", parts[part], part))
	}
	return fmt.Sprintf("%d: %s", total, strings.Join(words, ", "))
}
