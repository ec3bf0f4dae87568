// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/executorpods/watchsource/examples/fleet"
	"github.com/executorpods/watchsource/integration/cluster"
	"github.com/executorpods/watchsource/internal/sleep"
	"github.com/executorpods/watchsource/internal/test/podtest"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
)

const (
	fleetApps = 300
	// takeOver is the longest time without an owner after a replica has died.
	takeOver = 20 * time.Second
)

// Three replicas, as processes with only the rights of the manifest, own 300 applications.
// One is paused longer than its Lease lasts, one is killed, and one is stopped. Meanwhile
// executors end. Each application has one owner again within 20 seconds, only the
// applications of the replica that is away move, every end is handled, and no replica acts
// for an application after another one has begun to.
func TestExampleFleet(t *testing.T) {
	client := admin(t)
	t.Cleanup(func() { clearNamespace(t, client, metav1.NamespaceDefault) })
	f := newFleet(t, client)
	for _, name := range []string{"replica-0", "replica-1", "replica-2"} {
		f.start(name)
	}
	f.requireOwners(takeOver, "replica-0", "replica-1", "replica-2")
	stopEnds := f.endExecutors()
	before := f.owners()

	f.signal("replica-2", syscall.SIGSTOP)
	f.requireOwners(takeOver, "replica-0", "replica-1")
	f.requireMoved(before, "replica-2")
	f.signal("replica-2", syscall.SIGCONT)
	f.requireOwners(takeOver, "replica-0", "replica-1", "replica-2")

	f.signal("replica-1", syscall.SIGKILL)
	f.requireOwners(takeOver, "replica-0", "replica-2")
	f.requireMoved(before, "replica-1")

	// A replica that stops releases its Lease, so that the others need not wait until it expires.
	before = f.owners()
	f.signal("replica-2", syscall.SIGTERM)
	f.requireOwners(takeOver/2, "replica-0")
	f.requireMoved(before, "replica-2")

	f.requireEnds(stopEnds())
}

// A fleetTest runs replicas and reads what they print.
type fleetTest struct {
	// Fixed after newFleet.
	t          *testing.T
	client     kubernetes.Interface
	program    string
	kubeconfig string
	appsFile   string
	apps       []string

	// Guarded by mu.
	mu        sync.Mutex
	processes map[string]*os.Process
	lines     []fleetLine
}

// A fleetLine is a line that a replica prints: it acts for an application.
type fleetLine struct {
	Time        time.Time
	Replica     string
	Application string
	Full        bool
	Ended       []string
}

func newFleet(t *testing.T, client kubernetes.Interface) *fleetTest {
	t.Helper()
	dir := t.TempDir()
	f := &fleetTest{
		t:          t,
		client:     client,
		program:    buildProgram(t, "../examples/fleet", "./replica"),
		kubeconfig: filepath.Join(dir, "kubeconfig"),
		appsFile:   filepath.Join(dir, "apps.txt"),
		processes:  map[string]*os.Process{},
	}
	if err := cluster.WriteKubeconfig(f.kubeconfig, serviceAccount(t, client, "../examples/fleet/rbac.yaml")); err != nil {
		t.Fatal(err)
	}
	var pods []*corev1.Pod
	for i := range fleetApps {
		app := fmt.Sprintf("fleet-%03d", i)
		f.apps = append(f.apps, app)
		pods = append(pods, fleetPod(app, 0))
	}
	if err := os.WriteFile(f.appsFile, []byte(strings.Join(f.apps, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	create(t, client, pods...)
	return f
}

func fleetPod(app string, executor int) *corev1.Pod {
	pod := executorPod(metav1.NamespaceDefault, app, executor)
	podtest.Label(fleet.BucketLabel, strconv.Itoa(fleet.BucketOf(app)))(pod)
	pod.Name = fmt.Sprintf("%s-exec-%d", app, executor)
	return pod
}

// start starts a replica. It is killed after the test.
func (f *fleetTest) start(name string) {
	f.t.Helper()
	replica := exec.Command(f.program, "-kubeconfig", f.kubeconfig, "-name", name, "-apps", f.appsFile)
	replica.Stderr = os.Stderr
	output, err := replica.StdoutPipe()
	if err != nil {
		f.t.Fatal(err)
	}
	if err := replica.Start(); err != nil {
		f.t.Fatal(err)
	}
	f.mu.Lock()
	f.processes[name] = replica.Process
	f.mu.Unlock()
	read := make(chan struct{})
	go func() {
		defer close(read)
		f.read(output)
	}()
	f.t.Cleanup(func() {
		_ = replica.Process.Kill() // it may have ended
		<-read
		_ = replica.Wait()
	})
}

func (f *fleetTest) read(output io.Reader) {
	for lines := json.NewDecoder(output); ; {
		var line fleetLine
		if err := lines.Decode(&line); err != nil {
			return // the process has ended
		}
		f.mu.Lock()
		f.lines = append(f.lines, line)
		f.mu.Unlock()
	}
}

func (f *fleetTest) signal(name string, signal os.Signal) {
	f.t.Helper()
	f.mu.Lock()
	process := f.processes[name]
	f.mu.Unlock()
	if err := process.Signal(signal); err != nil {
		f.t.Fatalf("send %v to %s: %v", signal, name, err)
	}
}

// endExecutors lets an executor of each application end, and creates another, again and
// again. The function that it returns stops that, and returns the pods that have ended.
func (f *fleetTest) endExecutors() (stop func() []string) {
	ctx, cancel := context.WithCancel(f.t.Context())
	done := make(chan struct{})
	var ended []string
	go func() {
		defer close(done)
		for executor := 0; ctx.Err() == nil; executor++ {
			for _, app := range f.apps {
				name := fmt.Sprintf("%s-exec-%d", app, executor)
				f.fail(name)
				ended = append(ended, name)
				if _, err := f.client.CoreV1().Pods(metav1.NamespaceDefault).Create(f.t.Context(), fleetPod(app, executor+1), metav1.CreateOptions{}); err != nil {
					f.t.Errorf("create the next executor: %v", err)
				}
				sleep.For(ctx, 10*time.Millisecond)
			}
		}
	}()
	return func() []string {
		cancel()
		<-done
		return ended
	}
}

func (f *fleetTest) fail(pod string) {
	patch := []byte(`{"status":{"phase":"Failed"}}`)
	_, err := f.client.CoreV1().Pods(metav1.NamespaceDefault).Patch(f.t.Context(), pod, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
	if err != nil {
		f.t.Errorf("let %s fail: %v", pod, err)
	}
}

// sortedLines sorts the lines by time, because each process has its own pipe.
func (f *fleetTest) sortedLines() []fleetLine {
	f.mu.Lock()
	defer f.mu.Unlock()
	slices.SortStableFunc(f.lines, func(a, b fleetLine) int { return a.Time.Compare(b.Time) })
	return slices.Clone(f.lines)
}

// owners returns the replica that has acted last, by application.
func (f *fleetTest) owners() map[string]string {
	owners := map[string]string{}
	for _, line := range f.sortedLines() {
		owners[line.Application] = line.Replica
	}
	return owners
}

// requireOwners waits until each application belongs to the one of the replicas that should
// own it. A replica hands its buckets over one by one, so that each replica owns some before
// all of them have moved.
func (f *fleetTest) requireOwners(patience time.Duration, replicas ...string) {
	f.t.Helper()
	want := map[string]string{}
	for _, app := range f.apps {
		want[app] = fleet.OwnerOf(app, replicas)
	}
	begin := time.Now()
	var got map[string]string
	err := wait.PollUntilContextTimeout(f.t.Context(), 100*time.Millisecond, patience, true, func(context.Context) (bool, error) {
		got = f.owners()
		return maps.Equal(got, want), nil
	})
	if err != nil {
		f.t.Fatalf("after %s the applications belong to %v, want %v", patience, shares(got), shares(want))
	}
	f.t.Logf("after %v the applications belong to %v", time.Since(begin).Round(100*time.Millisecond), shares(got))
}

// shares counts the applications of each owner.
func shares(owners map[string]string) map[string]int {
	counts := map[string]int{}
	for _, owner := range owners {
		counts[owner]++
	}
	return counts
}

// requireMoved checks that the applications of one replica, and no others, have moved.
func (f *fleetTest) requireMoved(before map[string]string, from string) {
	f.t.Helper()
	after, moved := f.owners(), 0
	for _, app := range f.apps {
		if before[app] != after[app] {
			moved++
		}
		if got, want := before[app] != after[app], before[app] == from; got != want {
			f.t.Errorf("%s went from %s to %s, want only the applications of %s to move", app, before[app], after[app], from)
		}
	}
	f.t.Logf("%d of %d applications have moved", moved, fleetApps)
	if moved == 0 {
		f.t.Error("no application has moved, want about a third")
	}
}

// requireEnds waits until all ends are handled, and checks that no replica has
// acted for an application after another one has begun to.
func (f *fleetTest) requireEnds(pods []string) {
	f.t.Helper()
	var missing []string
	err := wait.PollUntilContextTimeout(f.t.Context(), 100*time.Millisecond, patience, true, func(context.Context) (bool, error) {
		handled := map[string]bool{}
		for _, line := range f.sortedLines() {
			for _, pod := range line.Ended {
				handled[pod] = true
			}
		}
		missing = slices.DeleteFunc(slices.Clone(pods), func(pod string) bool { return handled[pod] })
		return len(missing) == 0, nil
	})
	if err != nil {
		f.t.Errorf("%d of %d ends were not handled, want all; the first is %s", len(missing), len(pods), missing[0])
	}
	f.t.Logf("%d ends were handled", len(pods))

	last := map[string]string{}
	for _, line := range f.sortedLines() {
		if owner := last[line.Application]; !line.Full && owner != line.Replica {
			f.t.Errorf("%s: %s acted for %s after %s had begun to, want not", line.Time, line.Replica, line.Application, owner)
		}
		last[line.Application] = line.Replica
	}
}
