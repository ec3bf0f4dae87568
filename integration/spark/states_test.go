// SPDX-License-Identifier: Apache-2.0

package spark

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"

	"github.com/executorpods/watchsource"
)

var (
	seed  = flag.Uint64("seed", 20261126, "seed of the generated pods")
	lives = flag.Int("pods", 5000, "number of generated pods, each with one to three states")
)

// newJudge skips the test if Spark cannot be had on this machine.
func newJudge(t *testing.T) *Judge { return &Judge{ForTest(t)} }

// sequence is a pod in states that follow one another.
type sequence struct {
	name   string
	states []*corev1.Pod
}

// The states of generated pods, and of the pods of TestExecutorState, equal Spark's but
// for the documented repairs. Each repair is needed.
func TestStatesAgainstSpark(t *testing.T) {
	judge := newJudge(t)
	sequences := table(t)
	rows := len(sequences)
	for i := range *lives {
		g := generator{rand.New(rand.NewPCG(*seed, uint64(i)))}
		sequences = append(sequences, sequence{fmt.Sprintf("-seed=%d, pod %d", *seed, i), g.states()})
	}
	var pods []*corev1.Pod // each one unchanged, and plain
	for _, s := range sequences {
		for _, pod := range s.states {
			pods = append(pods, pod, plain(pod))
		}
	}
	answers, err := judge.Ask(t.Context(), pods, containerNames...)
	if err != nil {
		t.Fatal(err)
	}

	used, equal := map[string]int{}, 0
	for _, s := range sequences {
		n := 2 * len(s.states)
		for i, container := range containerNames {
			for _, only := range []bool{false, true} {
				for _, c := range compare(s, answers[:n], i, container, only) {
					want, by := c.want()
					switch ours := (outcome{c.ours.State, c.ours.ExitCode}); {
					case ours != want:
						t.Errorf("%s: want %v, exit code %d by %q\n%s", s.name, want.state, want.exitCode, by, c)
					case by == "":
						equal++
					default:
						used[by]++
					}
				}
			}
		}
		answers = answers[n:]
	}
	t.Logf("%d rows of the table and %d generated pods with -seed=%d: %d states, equal in %d comparisons", rows, *lives, *seed, len(pods)/2, equal)
	for _, r := range repairs {
		t.Logf("%6d comparisons differ by the repair %q", used[r.name], r.name)
		if used[r.name] == 0 {
			t.Errorf("the repair %q was not needed", r.name)
		}
	}
}

// The comment of State describes each repair, and README.md lists it.
func TestRepairsAreDocumented(t *testing.T) {
	read := func(name string) string {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(strings.Fields(strings.ReplaceAll(string(content), "//", "")), " ")
	}
	comment, readme := read(filepath.Join("..", "..", "executor.go")), read("README.md")
	for _, r := range repairs {
		if !strings.Contains(comment, r.doc) {
			t.Errorf("repair %q: executor.go lacks %q", r.name, r.doc)
		}
		if !strings.Contains(readme, "| "+r.name+" |") {
			t.Errorf("repair %q: README.md does not list it", r.name)
		}
	}
}

// table returns the pods of TestExecutorState.
func table(t *testing.T) []sequence {
	t.Helper()
	file := filepath.Join(t.TempDir(), "table.json")
	command := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-run=^TestExecutorState$", ".", "-table="+file)
	command.Dir = filepath.Join("..", "..")
	output, failure := command.CombinedOutput() // rows that fail are written too
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v: %v\n%s", command, failure, output)
	}
	var rows []sequence
	for lines := bufio.NewScanner(bytes.NewReader(content)); lines.Scan(); {
		var row struct {
			Name string
			Pod  *corev1.Pod
		}
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, sequence{row.Name, []*corev1.Pod{row.Pod}})
	}
	if len(rows) < 50 {
		t.Fatalf("TestExecutorState wrote %d rows", len(rows))
	}
	return rows
}

// plain returns a pod without the properties that hide the rest from Spark.
func plain(pod *corev1.Pod) *corev1.Pod {
	pod = pod.DeepCopy()
	pod.DeletionTimestamp = nil
	pod.Labels[watchsource.LabelExecutorID] = "1"
	return pod
}

// compare shows the states of one pod to a store.
func compare(s sequence, answers [][]Answer, name int, container string, only bool) []*comparison {
	quiet := watchsource.WithLogger(logr.Discard())
	options := []watchsource.StoreOption{watchsource.WithExecutorContainer(container), quiet}
	if only {
		options = append(options, watchsource.WithExecutorContainerOnly())
	}
	store := watchsource.NewStore(options...)
	var comparisons []*comparison
	var last lastEnd
	knowsRun := false
	for i, pod := range s.states {
		if i%2 == 0 {
			store.UpdatePod(pod)
		} else {
			store.ReplaceSnapshot([]*corev1.Pod{pod})
		}
		c := &comparison{pod: pod, container: container, only: only, main: findExecutor(pod, container), last: last, knowsRun: knowsRun}
		knowsRun = knowsRun || c.main.status != nil
		c.ours, _ = store.Snapshot().Get(pod.Name)
		c.read(answers[2*i][name], answers[2*i+1][name])
		comparisons = append(comparisons, c)
		last = c.lastEnd(i == 0)
	}
	return comparisons
}

// read takes over Spark's answers to the unchanged pod, and to the plain pod.
func (c *comparison) read(asked, plain Answer) {
	c.spark = asked
	state := asked.state(c.only)
	c.theirs, c.plain = outcomeIn(state, asked.ExitCode), outcomeIn(plain.state(c.only), plain.ExitCode)
	c.deleted = state == "PodDeleted"
	c.badID = state == "-" || state == "!NumberFormatException"
}

func (a Answer) state(only bool) string {
	if only {
		return a.Only
	}
	return a.All
}

// want returns Spark's state after all repairs, and the name of the repair that decided
// it, "" for none.
func (c *comparison) want() (want outcome, by string) {
	want = c.theirs
	for _, r := range repairs {
		if repaired, applies := r.apply(c, want); applies && repaired != want {
			want, by = repaired, r.name
		}
	}
	if want == c.theirs {
		by = ""
	}
	return want, by
}

// lastEnd returns the last end that was shown after this state.
func (c *comparison) lastEnd(first bool) lastEnd {
	now := lastEnd{own: c.last.own, run: c.last.run, restarts: c.last.restarts}
	if c.main.status != nil {
		now.own, now.run, now.restarts = c.last.own && c.isOfLastRun() || c.endsItsRun(), c.run(), c.main.status.RestartCount
	}
	switch {
	case c.ours.State.Ended():
		now.outcome = outcome{c.ours.State, c.ours.ExitCode}
	case c.last.outcome.state.Ended() && c.isOfLastRun():
		now.outcome, now.runsOn = c.last.outcome, true
	case !first && c.showsItsEndInTheLastState():
		now.outcome, now.own, now.runsOn = outcomeOf(c.main.status.LastTerminationState.Terminated), true, true
	default:
		now.own = false
	}
	return now
}

// endsItsRun reports whether the end of the executor is of the run that the status is about.
func (c *comparison) endsItsRun() bool {
	end := c.end()
	return end != nil && (end.ContainerID == "" || end.ContainerID == c.run())
}

// showsItsEndInTheLastState reports whether the last state is the end of the run that the
// status is about.
func (c *comparison) showsItsEndInTheLastState() bool {
	if c.main.status == nil {
		return false
	}
	last := c.main.status.LastTerminationState.Terminated
	return last != nil && last.ContainerID == c.main.status.ContainerID && !c.restartedByRule(c.main.status.Name, last)
}

// outcomeIn returns Spark's state in the terms of watchsource.
func outcomeIn(state, exitCode string) outcome {
	switch state {
	case "PodPending":
		return pending
	case "PodRunning":
		return running
	case "PodUnknown":
		return unknown
	case "PodSucceeded", "PodFailed":
		code, err := strconv.Atoi(exitCode)
		if err != nil {
			return nothing
		}
		if state == "PodSucceeded" {
			return outcome{watchsource.Succeeded, int32(code)}
		}
		return outcome{watchsource.Failed, int32(code)}
	default:
		return nothing
	}
}

func (c *comparison) String() string {
	pod, err := json.Marshal(c.pod)
	if err != nil {
		pod = []byte(err.Error())
	}
	return fmt.Sprintf("container %s, only %v: watchsource says %v, exit code %d (before: %+v, problem %q); Spark says %+v\n%s",
		c.container, c.only, c.ours.State, c.ours.ExitCode, c.last, c.ours.Problem, c.spark, pod)
}
