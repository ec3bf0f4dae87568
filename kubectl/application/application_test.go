// SPDX-License-Identifier: Apache-2.0

package application

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/executorpods/watchsource"
)

var begin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func executor(id int, state watchsource.State) *watchsource.Executor {
	return &watchsource.Executor{
		ID: strconv.Itoa(id), Name: fmt.Sprint("exec-", id), Namespace: "jobs", State: state,
		ExitCode: watchsource.UnknownExitCode, CreatedAt: begin,
	}
}

// The rows are always what a new sort of the present executors gives, in every order, with
// and without a filter.
func TestRowsAgainstASort(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	app := New(Named("app"))
	present := map[Key]*watchsource.Executor{}
	for round := range 2000 {
		var changes []watchsource.Change
		for range 1 + random.IntN(5) {
			e := executor(random.IntN(200), watchsource.State(1+random.IntN(5)))
			if random.IntN(3) == 0 {
				e.Reason = "CrashLoopBackOff"
			}
			e.Node = fmt.Sprint("node-", random.IntN(5))
			e.CreatedAt = begin.Add(time.Duration(random.IntN(10)) * time.Second)
			e.Terminating = random.IntN(4) == 0
			changes = append(changes, watchsource.Change{Before: present[KeyOf(e)], After: e})
			if e.State == watchsource.Deleted || e.State.Ended() {
				delete(present, KeyOf(e))
			} else {
				present[KeyOf(e)] = e
			}
		}
		app.Apply(changes, Moment{At: begin})
		switch random.IntN(40) {
		case 0:
			app.Rows.Sort(Sorting{app.Rows.Orders()[random.IntN(5)], random.IntN(2) == 0})
		case 1:
			app.Rows.Filter([]string{"", "crash", "NODE-3", "Pending", "pending crash", "nothing"}[random.IntN(6)])
		}
		checkRows(t, app, present)
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
}

func checkRows(t *testing.T, app *Application, present map[Key]*watchsource.Executor) {
	t.Helper()
	var want []*watchsource.Executor
	running, terminating, troubled := 0, 0, 0
	for _, e := range present {
		if app.Rows.passes(e) {
			want = append(want, e)
		}
		if e.State == watchsource.Running {
			running++
		}
		if e.Terminating {
			terminating++
		}
		if InTrouble(e) {
			troubled++
		}
	}
	slices.SortFunc(want, app.Rows.compare)
	if got := app.Rows.Page(0, 1000); !slices.Equal(got, want) {
		t.Errorf("got %d rows in another order or of other executors, want the %d that a sort gives", len(got), len(want))
	}
	for i, e := range want {
		if got := app.Rows.Index(KeyOf(e)); got != i {
			t.Errorf("Index of row %d = %d, want %d", i, got, i)
		}
	}
	if app.Rows.Total() != len(present) || app.Count(watchsource.Running) != running || app.Terminating() != terminating || app.Troubled() != troubled {
		t.Errorf("got %d executors, %d running, %d terminating, %d in trouble; want %d, %d, %d, %d",
			app.Rows.Total(), app.Count(watchsource.Running), app.Terminating(), app.Troubled(), len(present), running, terminating, troubled)
	}
}

func TestOrders(t *testing.T) {
	app := New(Named("app"))
	var changes []watchsource.Change
	add := func(id int, change func(*watchsource.Executor)) {
		e := executor(id, watchsource.Running)
		e.Node = fmt.Sprint("node-", 9-id%10)
		e.CreatedAt = begin.Add(time.Duration(id) * time.Second)
		change(e)
		changes = append(changes, watchsource.Change{After: e})
	}
	add(10, func(*watchsource.Executor) {})
	add(9, func(e *watchsource.Executor) { e.Terminating = true })
	add(3, func(e *watchsource.Executor) { e.State, e.Reason = watchsource.Pending, "ContainerCreating" })
	add(4, func(e *watchsource.Executor) { e.State, e.Reason = watchsource.Pending, "ImagePullBackOff" })
	add(2, func(e *watchsource.Executor) { e.State = watchsource.Unknown })
	app.Apply(changes, Moment{At: begin})
	for order, want := range map[Order]string{
		ByTrouble: "2 4 3 9 10",
		ByID:      "2 3 4 9 10",
		ByAge:     "10 9 4 3 2",
		ByNode:    "9 4 3 2 10",
	} {
		app.Rows.Sort(Sorting{By: order})
		var ids []string
		for _, e := range app.Rows.Page(0, 10) {
			ids = append(ids, e.ID)
		}
		if got := strings.Join(ids, " "); got != want {
			t.Errorf("by %v: got %s, want %s", order, got, want)
		}
	}
}

// Ids that are no numbers come after the numbers.
func TestCompareIDs(t *testing.T) {
	ids := []string{"b", "10", "", "9", "18446744073709551616", "a"}
	slices.SortFunc(ids, CompareIDs)
	if want := []string{"9", "10", "", "18446744073709551616", "a", "b"}; !slices.Equal(ids, want) {
		t.Errorf("got %q, want %q", ids, want)
	}
}

func TestDescriptions(t *testing.T) {
	for _, row := range []struct {
		change             func(*watchsource.Executor)
		cause, description string
		bad                bool
	}{
		{func(e *watchsource.Executor) { e.State, e.ExitCode, e.Reason = watchsource.Succeeded, 0, "Completed" }, "Completed", "Completed", false},
		{func(e *watchsource.Executor) { e.ExitCode, e.Reason = 137, "OOMKilled" }, "OOMKilled", "OOMKilled  exit 137", true},
		{func(e *watchsource.Executor) { e.ExitCode, e.Reason = 137, "Error" }, "exit 137", "exit 137 (SIGKILL)", true},
		{func(e *watchsource.Executor) { e.ExitCode, e.Reason = 52, "Error" }, "exit 52", "exit 52 (JVM out of memory)", true},
		{func(e *watchsource.Executor) { e.ExitCode = 3 }, "exit 3", "exit 3", true},
		{func(e *watchsource.Executor) { e.Reason = "Evicted" }, "Evicted", "Evicted", true},
		{func(e *watchsource.Executor) { e.Reason = "\x1b[31m" }, "^[[31m", "^[[31m", true},
		{func(*watchsource.Executor) {}, "Failed", "Failed", true},
		{func(e *watchsource.Executor) { e.ExitCode, e.Reason, e.Terminating = 143, "Error", true }, "Deleted", "Deleted  exit 143 (SIGTERM)", false},
		{func(e *watchsource.Executor) { e.ExitCode, e.Reason, e.Terminating = 137, "OOMKilled", true }, "OOMKilled", "OOMKilled  exit 137", true},
		{func(e *watchsource.Executor) { e.State = watchsource.Running }, "Deleted", "Deleted", false},
		{func(e *watchsource.Executor) { e.State, e.Disruption = watchsource.Running, "PreemptionByScheduler" }, "PreemptionByScheduler", "PreemptionByScheduler", false},
	} {
		e := executor(1, watchsource.Failed)
		row.change(e)
		end := &End{Executor: e}
		if end.Cause() != row.cause || end.Description() != row.description || end.Failed() != row.bad {
			t.Errorf("got %q, %q, bad %v; want %q, %q, %v", end.Cause(), end.Description(), end.Failed(), row.cause, row.description, row.bad)
		}
	}
}

// The list of the ends has a bound. The counts have none.
func TestEndsBound(t *testing.T) {
	app := New(Named("app"))
	for id := range maxEnds + 5 {
		running := executor(id, watchsource.Running)
		app.Apply([]watchsource.Change{{After: running}}, Moment{At: begin})
		gone := *running
		gone.State = watchsource.Deleted
		app.Apply([]watchsource.Change{{Before: running, After: &gone}}, Moment{At: begin})
	}
	if got := app.Ends.Len(); got != maxEnds {
		t.Errorf("got %d ends, want %d", got, maxEnds)
	}
	if got, want := app.Ends.Causes(), fmt.Sprint("Deleted ", maxEnds+5); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := app.Ends.Page(0, 1)[0].Executor.ID, strconv.Itoa(maxEnds+4); got != want {
		t.Errorf("the first end is of executor %s, want the last, %s", got, want)
	}
	if got := len(app.Ends.last); got != maxEnds {
		t.Errorf("remembers %d pods, want %d", got, maxEnds)
	}
	if index := app.Ends.Index(1); index != -1 {
		t.Errorf("index of the first end = %d, want -1", index)
	}
}

// A history shows the whole time since its first sample.
func TestHistory(t *testing.T) {
	var h History
	if got := h.String(); got != "" {
		t.Errorf("without a sample: got %q, want none", got)
	}
	for second := range 3 {
		h.Record(second*4, begin.Add(time.Duration(second)*time.Second))
	}
	if got, want := h.String(), " ▄█"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	h.Record(8, begin.Add(5*time.Second)) // a gap repeats the last sample
	if got, want := h.String(), " ▄████"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for second := 6; second < 24*3600; second++ {
		n := 4
		if second > 12*3600 {
			n = 1
		}
		h.Record(n, begin.Add(time.Duration(second)*time.Second))
	}
	got := []rune(h.String())
	if len(got) > historyLen || len(got) < historyLen/2 {
		t.Errorf("got %d bars, want %d to %d", len(got), historyLen/2, historyLen)
	}
	if full := strings.Count(string(got), "█"); full < len(got)*2/5 || full > len(got)*3/5 {
		t.Errorf("got %q, want the first half full", string(got))
	}
}

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"plain":            "plain",
		"Größe 日本":         "Größe 日本",
		"\x1b[2J":          "^[[2J",
		"a\nb\tc":          "a b c",
		"\u009b31m":        "\ufffd31m",
		"\u202egnp\u200b.": "\ufffdgnp\ufffd.",
		"\x07\x7f":         "\ufffd\ufffd",
		"bad\xff":          "bad\ufffd",
	} {
		if got := Printable(text); got != want {
			t.Errorf("Printable(%q) = %q, want %q", text, got, want)
		}
	}
}

// A pod that is being deleted may have ended. Its executor then shows the end.
func TestState(t *testing.T) {
	for state, want := range map[watchsource.State]string{
		watchsource.Pending:   "Terminating",
		watchsource.Running:   "Terminating",
		watchsource.Unknown:   "Terminating",
		watchsource.Succeeded: "Succeeded",
		watchsource.Failed:    "Failed",
		watchsource.Deleted:   "Deleted",
	} {
		e := executor(1, state)
		if got := State(e); got != state.String() {
			t.Errorf("%v: got %q, want %q", state, got, state)
		}
		e.Terminating = true
		if got := State(e); got != want {
			t.Errorf("%v, terminating: got %q, want %q", state, got, want)
		}
	}
}
