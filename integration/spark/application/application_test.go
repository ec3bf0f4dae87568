// SPDX-License-Identifier: Apache-2.0

package application

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/integration/spark"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
)

// patience is how long anything may take. Spark takes up to a minute to find that an
// executor is missing: it lists every 30 s, and an executor must be 30 s old.
const patience = 2 * time.Minute

// An application is a real Spark application, the node of its executors, and a source
// that watches them.
type application struct {
	t         *testing.T
	client    kubernetes.Interface
	namespace string
	node      *node
	watch     *watch
	driver    *driver
	deleted   map[string]time.Time // by executor id: when the API server answered to a deletion by force
}

func newApplication(t *testing.T, installation *spark.Installation, app string, conf ...string) *application {
	t.Helper()
	client, err := kubernetes.NewForConfig(server.Config())
	if err != nil {
		t.Fatal(err)
	}
	namespace, err := client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: app + "-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	a := &application{t: t, client: client, namespace: namespace.Name, deleted: map[string]time.Time{}}
	a.node = startNode(t, client, installation, namespace.Name)
	a.watch = startWatch(t, client, app, namespace.Name)
	a.driver = startDriver(t, installation, app, namespace.Name, conf...)
	return a
}

// await waits until cond is true.
func (a *application) await(what string, cond func() bool) {
	a.t.Helper()
	err := wait.PollUntilContextTimeout(a.t.Context(), 50*time.Millisecond, patience, true, func(context.Context) (bool, error) { return cond(), nil })
	if err != nil {
		a.t.Fatalf("waiting for %s: %v", what, err)
	}
}

// registered waits until Spark works with n executors, and returns them. A loss that Spark
// has not noticed yet does not count.
func (a *application) registered(n int) (executors []watchsource.Executor) {
	a.t.Helper()
	a.await(fmt.Sprintf("%d registered executors", n), func() bool {
		added, removed := a.driver.events(executorAdded), a.driver.events(executorRemoved)
		executors = nil
		for e := range a.watch.store.Snapshot().All() {
			_, isAdded := added[e.ID]
			_, isRemoved := removed[e.ID]
			if isAdded && !isRemoved && e.State == watchsource.Running && !e.Terminating {
				executors = append(executors, e)
			}
		}
		return len(executors) == n
	})
	return executors
}

// A loss is how an executor is lost, and what both sides make of it.
type loss struct {
	name  string
	cause func(a *application, e watchsource.Executor) error
	// want are the state, the exit code and the reason here.
	state    watchsource.State
	exitCode int32
	reason   string
	// spark is a part of the reason that Spark logs.
	spark string
}

var losses = []loss{
	{
		name: "killed (SIGKILL)", cause: func(a *application, e watchsource.Executor) error {
			return a.node.Runtime.Signal(e.UID, syscall.SIGKILL)
		},
		state: watchsource.Failed, exitCode: 137, reason: "Error", spark: "exit code 137",
	},
	{
		name: "deleted", cause: func(a *application, e watchsource.Executor) error {
			return a.client.CoreV1().Pods(e.Namespace).Delete(a.t.Context(), e.Name, metav1.DeleteOptions{})
		},
		state: watchsource.Failed, exitCode: 143, reason: "Error", spark: "deleted by a user or the framework",
	},
	{
		name: "deleted by force", cause: func(a *application, e watchsource.Executor) error {
			err := a.client.CoreV1().Pods(e.Namespace).Delete(a.t.Context(), e.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))})
			a.deleted[e.ID] = time.Now()
			return err
		},
		state: watchsource.Running, exitCode: watchsource.UnknownExitCode, spark: "not found in the cluster",
	},
	{
		name: "evicted by the API", cause: func(a *application, e watchsource.Executor) error {
			return a.client.PolicyV1().Evictions(e.Namespace).Evict(a.t.Context(), &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Namespace: e.Namespace, Name: e.Name}})
		},
		state: watchsource.Failed, exitCode: 143, reason: "EvictionByEvictionAPI", spark: "deleted by a user or the framework",
	},
	{
		name: "evicted by its node", cause: func(a *application, e watchsource.Executor) error {
			return a.node.Runtime.Evict(e.UID, "The node was low on resource: memory.")
		},
		state: watchsource.Failed, exitCode: 137, reason: "Evicted", spark: "exit code 137",
	},
}

// exhausted is the loss of an executor that runs out of memory.
var exhausted = loss{name: "out of memory", state: watchsource.Failed, exitCode: 52, reason: "Error", spark: "exit code 52"}

// Spark keeps a fixed number of executors, and replaces those that are lost.
func TestFixedExecutors(t *testing.T) {
	a := newApplication(t, spark.ForTest(t), "fixed", fmt.Sprintf("spark.executor.instances=%d", len(losses)))
	a.driver.begin("sleep 400 100")
	lost := map[string]loss{}
	for i, e := range a.registered(len(losses)) {
		if err := losses[i].cause(a, e); err != nil {
			t.Fatalf("executor %s, to be %s: %v", e.ID, losses[i].name, err)
		}
		lost[e.ID] = losses[i]
	}
	a.driver.wait("sleep 400 100", 400)
	a.driver.begin("exhaust")
	a.driver.wait("exhaust", 1)
	a.await("an executor that ran out of memory", func() bool {
		for id, o := range a.watch.executors() {
			if o.executor.ExitCode == exhausted.exitCode {
				lost[id] = exhausted
			}
		}
		return len(lost) == len(losses)+1
	})
	a.compare(lost)
}

// Spark asks for executors when there is work and ends those that are idle. One is killed.
func TestDynamicAllocation(t *testing.T) {
	a := newApplication(t, spark.ForTest(t), "dynamic",
		"spark.dynamicAllocation.enabled=true",
		"spark.dynamicAllocation.minExecutors=1",
		"spark.dynamicAllocation.maxExecutors=4",
		"spark.dynamicAllocation.executorIdleTimeout=3s",
	)
	a.driver.begin("sleep 200 200")
	kill := losses[0]
	victim := a.registered(4)[0]
	if err := kill.cause(a, victim); err != nil {
		t.Fatal(err)
	}
	a.driver.wait("sleep 200 200", 200)
	a.registered(1)
	a.driver.begin("sleep 40 200")
	a.driver.wait("sleep 40 200", 40)
	a.compare(map[string]loss{victim.ID: kill})
}

// compare waits until Spark has logged each loss, stops the application, and compares what
// both sides know.
func (a *application) compare(lost map[string]loss) {
	t := a.t
	t.Helper()
	a.await("each loss on both sides", func() bool {
		removed := a.driver.events(executorRemoved)
		for id := range lost {
			if _, known := removed[id]; !known {
				return false
			}
		}
		return slices.Equal(slices.Sorted(maps.Keys(removed)), a.lost())
	})
	a.await("each event on both sides", func() bool {
		return maps.EqualFunc(a.watch.recorder.copy(), a.driver.watched(), func(ours []sighting, theirs []time.Time) bool { return len(ours) == len(theirs) })
	})
	events, watched, removed := a.watch.recorder.copy(), a.driver.watched(), a.driver.events(executorRemoved)
	a.driver.stop()
	a.await("the end of all executors", func() bool { return a.watch.store.Snapshot().Len() == 0 })

	created, ends := a.node.written()
	outcomes := a.watch.executors()
	if want, got := slices.Sorted(maps.Values(created)), slices.Sorted(maps.Keys(outcomes)); !slices.Equal(got, want) {
		t.Errorf("executors %v, want those that Spark created, %v", got, want)
	}
	for id, o := range outcomes {
		if o.gone != 1 || o.ends > 1 {
			t.Errorf("executor %s: %d ends and gone %d times, want at most one end and gone once", id, o.ends, o.gone)
		}
		if e, ended := ends[id]; ended && (o.ends != 1 || o.executor.ExitCode != e.exitCode) {
			t.Errorf("executor %s: %d ends, exit code %d; want one end with exit code %d, as its node has written", id, o.ends, o.executor.ExitCode, e.exitCode)
		}
	}
	for id, l := range lost {
		e := outcomes[id].executor
		if e.State != l.state || e.ExitCode != l.exitCode || e.Reason != l.reason {
			t.Errorf("executor %s, %s: %v, exit code %d, reason %q; want %v, %d, %q", id, l.name, e.State, e.ExitCode, e.Reason, l.state, l.exitCode, l.reason)
		}
		if !strings.Contains(removed[id].Reason, l.spark) {
			t.Errorf("executor %s, %s: Spark gives the reason %q, want one with %q", id, l.name, removed[id].Reason, l.spark)
		}
	}
	a.report(lost, ends, events, watched, removed)
}

// lost returns the ids of the executors whose end or disappearance the source has
// delivered.
func (a *application) lost() (ids []string) {
	for id, o := range a.watch.executors() {
		if o.lost() {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// report logs when each side knew of each loss, counted from the answer of the API server
// to the change.
func (a *application) report(lost map[string]loss, ends map[string]end, events map[string][]sighting, watched map[string][]time.Time, removed map[string]sparkEvent) {
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "executor\tloss\tstate\texit code\treason\treader\tSpark's watch\tSpark's scheduler\tSpark's reason")
	outcomes := a.watch.executors()
	for _, id := range slices.Sorted(maps.Keys(removed)) {
		o := outcomes[id]
		answered, pod := a.deleted[id], o.executor.Name
		index := len(watched[pod]) - 1
		if answered.IsZero() {
			answered = ends[id].answered
			index = slices.IndexFunc(events[pod], func(s sighting) bool { return s.resourceVersion == ends[id].resourceVersion })
		}
		if index < 0 {
			a.t.Errorf("executor %s: the end with resource version %s was not delivered", id, ends[id].resourceVersion)
			continue
		}
		name := lost[id].name
		if name == "" {
			name = "ended by Spark"
		}
		since := func(at time.Time) time.Duration { return at.Sub(answered).Round(time.Millisecond) }
		fmt.Fprintf(w, "%s\t%s\t%v\t%d\t%s\t%v\t%v\t%v\t%q\n", id, name, o.executor.State, o.executor.ExitCode, o.executor.Reason,
			since(o.seen), since(watched[pod][index]), since(removed[id].at()), firstLine(removed[id].Reason))
	}
	w.Flush()
	a.t.Logf("%d executors, %d losses before the end:\n%s", len(outcomes), len(removed), &table)
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}
