// SPDX-License-Identifier: Apache-2.0

package screen

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"
	"github.com/charmbracelet/x/exp/golden"
	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/kubectl/application"
	"github.com/executorpods/watchsource/kubectl/internal/emulator"
	"github.com/executorpods/watchsource/watchtest"
	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

const (
	testApp   = "spark-3f2a"
	testSpace = "jobs"
)

func TestMain(m *testing.M) {
	time.Local = time.UTC // the golden screens have times
	os.Exit(m.Run())
}

// A terminal is a screen that runs in an emulated terminal. It must be made in a bubble.
type terminal struct {
	t        *testing.T
	emulator *emulator.Terminal
	writes   counter
	source   *watchsource.WatchSnapshotSource
	program  *tea.Program
	model    *model // of the program
	cancel   func()
	done     chan error
}

// A counter counts the writes that go through it. Like a terminal outside the raw mode, it
// begins a line with a carriage return, because Bubble Tea sets the raw mode only on a file.
type counter struct {
	io.Writer
	n atomic.Int64
}

func (c *counter) Write(p []byte) (int, error) {
	c.n.Add(1)
	_, err := c.Writer.Write(bytes.ReplaceAll(p, []byte("\n"), []byte("\r\n")))
	return len(p), err
}

// open shows an application, or all applications if appID is empty, as for the namespace of the
// pods.
func open(t *testing.T, server *watchtest.Server, appID string, width, height int) *terminal {
	t.Helper()
	return openIn(t, server, testSpace, appID, width, height)
}

// inSizes runs a test in terminals of three sizes, each in a bubble.
func inSizes(t *testing.T, test func(t *testing.T, width, height int)) {
	for _, size := range [][2]int{{80, 24}, {120, 40}, {40, 10}} {
		t.Run(fmt.Sprintf("%dx%d", size[0], size[1]), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, size[0], size[1]) })
		})
	}
}

// openIn shows an application, or all applications if appID is empty, as for a namespace or, if
// that is empty, for all namespaces.
func openIn(t *testing.T, server *watchtest.Server, namespace, appID string, width, height int) *terminal {
	t.Helper()
	source, store := startSource(t, server, namespace, appID)
	ctx, cancel := context.WithCancel(t.Context())
	term := &terminal{t: t, source: source, emulator: emulator.New(width, height), cancel: cancel, done: make(chan error, 1)}
	term.writes.Writer = term.emulator
	config := Config{AppID: appID, Namespace: namespace, Source: source, Store: store}
	term.model = newModel(config)
	term.model.suspendable = func() bool { return true }
	term.program = newProgram(ctx, term.model,
		tea.WithInput(term.emulator), tea.WithOutput(&term.writes), tea.WithWindowSize(width, height),
		tea.WithColorProfile(colorprofile.ANSI), tea.WithEnvironment([]string{"TERM=xterm-256color"}))
	go func() { term.done <- run(ctx, config, term.program) }()
	t.Cleanup(func() {
		cancel()
		_ = term.emulator.Close() // never fails
	})
	term.settle()
	return term
}

// startSource starts a source of the executors of an application, or of all if appID is empty, in a
// namespace or, if that is empty, in all.
func startSource(t *testing.T, server *watchtest.Server, namespace, appID string) (*watchsource.WatchSnapshotSource, *application.Store) {
	t.Helper()
	store := application.NewStore(appID, watchsource.WithLogger(logr.Discard()))
	opts := []watchsource.Option{watchsource.WithLogger(logr.Discard())}
	if namespace != "" {
		opts = append(opts, watchsource.WithNamespace(namespace))
	}
	if appID == "" {
		opts = append(opts, watchsource.WithSelector(func(string) labels.Selector {
			return labels.SelectorFromSet(labels.Set{watchsource.LabelRole: watchsource.RoleExecutor})
		}))
	}
	source := watchsource.NewWatchSnapshotSource(store, server.Client(), opts...)
	startID := appID
	if startID == "" {
		startID = "all"
	}
	if err := source.Start(startID); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(source.Stop)
	return source, store
}

// stop ends the program, and returns its model to draw it at any size.
func (t *terminal) stop() *model {
	t.cancel()
	<-t.done
	return t.model
}

// settleTime is how long settle takes. It is no multiple of the time of a frame, so that no frame
// is due at the end of it.
const settleTime = 5*frameInterval - 30*time.Millisecond

// settle lets the next frames be drawn.
func (t *terminal) settle() {
	time.Sleep(settleTime)
	synctest.Wait()
}

// press sends keys and waits for the frame.
func (t *terminal) press(keys ...string) {
	for _, key := range keys {
		t.emulator.Type(key)
		t.settle()
	}
}

// golden compares the screen after a tick, which comes at a known time, with a file.
func (t *terminal) golden() {
	t.t.Helper()
	time.Sleep(2 * tickInterval)
	t.settle()
	golden.RequireEqual(t.t, t.emulator.String())
}

// paste pastes a text and waits for the frame.
func (t *terminal) paste(text string) { t.press("\x1b[200~" + text + "\x1b[201~") }

// require fails the test unless the screen has all texts.
func (t *terminal) require(texts ...string) {
	t.t.Helper()
	for _, text := range texts {
		if !strings.Contains(t.emulator.String(), text) {
			t.t.Errorf("got this screen, want %q in it:\n%s", text, t.emulator.String())
		}
	}
}

func (t *terminal) requireNot(text string) {
	t.t.Helper()
	if strings.Contains(t.emulator.String(), text) {
		t.t.Errorf("got this screen, want no %q in it:\n%s", text, t.emulator.String())
	}
}

const (
	escape = "\x1b"
	enter  = "\r"
	tab    = "\t"
)

func executorPod(app string, id int) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name:      fmt.Sprintf("%s-exec-%d", app, id),
			Namespace: testSpace,
			Labels: map[string]string{
				watchsource.LabelApp:        app,
				watchsource.LabelRole:       watchsource.RoleExecutor,
				watchsource.LabelExecutorID: strconv.Itoa(id),
			},
		},
		Spec: corev1.PodSpec{
			NodeName:      fmt.Sprintf("node-%d", id%9+1),
			RestartPolicy: corev1.RestartPolicyNever,
			Containers:    []corev1.Container{{Name: "spark-kubernetes-executor", Image: "spark"}},
		},
		Status: corev1.PodStatus{Phase: corev1.PodPending},
	}
}

func setContainer(pod *corev1.Pod, state corev1.ContainerState) {
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "spark-kubernetes-executor", State: state}}
}

// A cluster changes the pods of one application.
type cluster struct {
	server *watchtest.Server
	app    string
}

func (c cluster) name(id int) string { return fmt.Sprintf("%s-exec-%d", c.app, id) }

func (c cluster) create(from, to int) {
	for id := from; id <= to; id++ {
		c.server.Create(executorPod(c.app, id))
	}
}

func (c cluster) run(from, to int) {
	for id := from; id <= to; id++ {
		c.server.Update(testSpace, c.name(id), setRunning)
	}
}

func setRunning(pod *corev1.Pod) {
	pod.Status.Phase = corev1.PodRunning
	setContainer(pod, corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}})
}

func (c cluster) wait(id int, reason, message string) {
	c.server.Update(testSpace, c.name(id), func(pod *corev1.Pod) {
		setContainer(pod, corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}})
	})
}

func (c cluster) unschedulable(id int, message string) {
	c.server.Update(testSpace, c.name(id), func(pod *corev1.Pod) {
		pod.Spec.NodeName = ""
		pod.Status.Conditions = []corev1.PodCondition{{
			Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: message,
		}}
	})
}

func (c cluster) terminate(id int) {
	c.server.Update(testSpace, c.name(id), func(pod *corev1.Pod) { pod.DeletionTimestamp = new(metav1.Now()) })
}

func (c cluster) end(id int, code int32, reason string) {
	c.server.Update(testSpace, c.name(id), func(pod *corev1.Pod) {
		started := metav1.Now()
		for _, status := range pod.Status.ContainerStatuses {
			if status.State.Running != nil {
				started = status.State.Running.StartedAt
			}
		}
		pod.Status.Phase = corev1.PodFailed
		if code == 0 {
			pod.Status.Phase = corev1.PodSucceeded
		}
		setContainer(pod, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: code, Reason: reason, StartedAt: started, FinishedAt: metav1.Now(),
		}})
	})
}

func (c cluster) evict(id int) {
	c.server.Update(testSpace, c.name(id), func(pod *corev1.Pod) {
		pod.Status = corev1.PodStatus{Phase: corev1.PodFailed, Reason: "Evicted", Message: "The node was low on resource: memory. "}
	})
}

func (c cluster) delete(ids ...int) {
	for _, id := range ids {
		c.server.Delete(testSpace, c.name(id))
	}
}

// busy brings an application to a state with everything that a screen shows.
func busy(server *watchtest.Server) cluster {
	c := cluster{server, testApp}
	c.create(1, 20)
	time.Sleep(2 * time.Second)
	c.run(1, 20)
	time.Sleep(3 * time.Second)
	c.create(21, 49)
	time.Sleep(4 * time.Second)
	for id := 21; id <= 49; id++ {
		c.run(id, id)
		time.Sleep(time.Duration(id%5) * time.Second)
	}
	time.Sleep(time.Minute)
	c.end(12, 52, "Error")
	time.Sleep(47 * time.Second)
	c.end(37, 137, "OOMKilled")
	c.delete(12, 37)
	time.Sleep(11 * time.Second)
	c.evict(28)
	c.end(49, 137, "OOMKilled")
	time.Sleep(time.Second)
	c.delete(49)
	c.create(50, 53)
	c.run(52, 53)
	c.wait(50, "ImagePullBackOff", `Back-off pulling image "registry.example.com/spark:4.2"`)
	c.unschedulable(51, "0/9 nodes are available: 9 Insufficient memory.")
	c.terminate(2)
	time.Sleep(4 * time.Second)
	return c
}
