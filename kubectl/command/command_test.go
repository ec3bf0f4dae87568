// SPDX-License-Identifier: Apache-2.0

package command

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/watchtest"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/yaml"
)

const evil = "\x1b]0;owned\x07\x1b[2J\u009b31m\u202egnp.\r\nsecond\tline"

// A buffer is safe for concurrent use.
type buffer struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.String()
}

// A call is one call of the command.
type call struct {
	out, errOut buffer
	cancel      func()
	done        chan error
}

// startCall starts the command on a server. It must be called in a bubble.
func startCall(t *testing.T, server *watchtest.Server, args ...string) *call {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	c := &call{cancel: cancel, done: make(chan error, 1)}
	o := &options{streams: genericiooptions.IOStreams{Out: &c.out, ErrOut: &c.errOut}, config: genericclioptions.NewConfigFlags(true)}
	cmd := o.command()
	if err := cmd.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	if rest := cmd.Flags().Args(); len(rest) > 0 {
		o.appID = rest[0]
	}
	if err := o.validate(); err != nil {
		t.Fatal(err)
	}
	namespace := "jobs"
	if o.allNamespaces {
		namespace = ""
	}
	go func() { c.done <- o.show(ctx, target{client: server.Client(), namespace: namespace}) }()
	t.Cleanup(cancel)
	time.Sleep(time.Second)
	return c
}

// once runs the command to its end, and returns its output.
func once(t *testing.T, server *watchtest.Server, args ...string) string {
	t.Helper()
	c := startCall(t, server, args...)
	if err := <-c.done; err != nil {
		t.Errorf("%v: err = %v, want nil", args, err)
	}
	return c.out.String()
}

func pod(namespace, app string, id int, change func(*corev1.Pod)) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprintf("%s-exec-%d", app, id), Namespace: namespace,
			Labels: map[string]string{
				watchsource.LabelApp: app, watchsource.LabelRole: watchsource.RoleExecutor, watchsource.LabelExecutorID: strconv.Itoa(id),
			},
		},
		Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever,
			Containers:    []corev1.Container{{Name: "spark-kubernetes-executor", Env: []corev1.EnvVar{{Name: "TOKEN", Value: "secret"}}}},
		},
		Status: corev1.PodStatus{Phase: corev1.PodPending},
	}
	if change != nil {
		change(pod)
	}
	return pod
}

func running(pod *corev1.Pod) {
	pod.Spec.NodeName = "node-1"
	pod.Status.Phase = corev1.PodRunning
	pod.Status.PodIP = "10.0.0.7"
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: "spark-kubernetes-executor", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}},
	}}
}

func ended(code int32, reason string) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		pod.Status.Phase = corev1.PodFailed
		if code == 0 {
			pod.Status.Phase = corev1.PodSucceeded
		}
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
			Name:  "spark-kubernetes-executor",
			State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason, FinishedAt: metav1.Now()}},
		}}
	}
}

// example has two applications in two namespaces, one with everything that a table shows.
func example() *watchtest.Server {
	server := watchtest.NewServer()
	server.Create(pod("jobs", "app-a", 1, running))
	server.Create(pod("jobs", "app-a", 2, func(pod *corev1.Pod) {
		pod.Status.Conditions = []corev1.PodCondition{{
			Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/9 nodes are available.",
		}}
	}))
	server.Create(pod("jobs", "app-a", 3, ended(137, "OOMKilled")))
	server.Create(pod("other", "app-b", 1, running))
	server.Create(pod("other", "", 1, func(pod *corev1.Pod) { delete(pod.Labels, watchsource.LabelApp) })) // not of an application
	return server
}

func TestTable(t *testing.T) {
	for _, row := range []struct{ args, want string }{
		{"app-a", `
EXECUTOR   STATE     EXIT     AGE   POD            REASON
1          Running   <none>   1s    app-a-exec-1   <none>
2          Pending   <none>   1s    app-a-exec-2   Unschedulable
3          Failed    137      1s    app-a-exec-3   OOMKilled
`},
		{"app-a --no-headers -w=false", `
1     Running   <none>   1s    app-a-exec-1   <none>
2     Pending   <none>   1s    app-a-exec-2   Unschedulable
3     Failed    137      1s    app-a-exec-3   OOMKilled
`},
		{"-A", `
NAMESPACE   APPLICATION   EXECUTOR   STATE     EXIT     AGE   POD            REASON
jobs        app-a         1          Running   <none>   1s    app-a-exec-1   <none>
jobs        app-a         2          Pending   <none>   1s    app-a-exec-2   Unschedulable
jobs        app-a         3          Failed    137      1s    app-a-exec-3   OOMKilled
other       app-b         1          Running   <none>   1s    app-b-exec-1   <none>
`},
		{"app-b -A -o wide", `
NAMESPACE   EXECUTOR   STATE     EXIT     AGE   POD            REASON   RESTARTS   NODE     IP         MESSAGE
other       1          Running   <none>   1s    app-b-exec-1   <none>   0          node-1   10.0.0.7   <none>
`},
	} {
		t.Run(row.args, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := example()
				time.Sleep(time.Second)
				lines := strings.Split(once(t, server, strings.Fields(row.args)...), "\n")
				for i := range lines {
					lines[i] = strings.TrimRight(lines[i], " ")
				}
				if got := "\n" + strings.Join(lines, "\n"); got != row.want {
					t.Errorf("got%s\nwant%s", got, row.want)
				}
			})
		})
	}
}

func TestNoneFound(t *testing.T) {
	for _, row := range []struct{ args, want string }{
		{"app-c", "No executors of app-c found in the namespace jobs.\n"},
		{"app-c -A", "No executors of app-c found in any namespace.\n"},
		{"-o wide", "No executors found in the namespace jobs.\n"},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := startCall(t, watchtest.NewServer(), strings.Fields(row.args)...)
			if err := <-c.done; err != nil || c.out.String() != "" || c.errOut.String() != row.want {
				t.Errorf("%s: got %q, %q, %v; want %q on stderr only", row.args, c.out.String(), c.errOut.String(), err, row.want)
			}
		})
	}
}

func TestObjects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := example()
		if got, want := once(t, server, "app-a", "-o", "name"), "pod/app-a-exec-1\npod/app-a-exec-2\npod/app-a-exec-3\n"; got != want {
			t.Errorf("-o name: got %q, want %q", got, want)
		}

		lines := strings.Split(strings.TrimSpace(once(t, server, "-A", "-o", "json")), "\n")
		var states []string
		for _, line := range lines {
			var o object
			if err := json.Unmarshal([]byte(line), &o); err != nil {
				t.Fatalf("-o json: %v in %s", err, line)
			}
			states = append(states, o.Application+"/"+o.ID+" "+o.State)
		}
		if want := []string{"app-a/1 Running", "app-a/2 Pending", "app-a/3 Failed", "app-b/1 Running"}; !slices.Equal(states, want) {
			t.Errorf("-o json: got %q, want %q", states, want)
		}
		if strings.Contains(strings.Join(lines, ""), "secret") {
			t.Error("-o json has the environment of a container, want no part of the spec")
		}

		documents := strings.Split(once(t, server, "app-a", "-o", "yaml"), "---\n")[1:]
		if len(documents) != 3 {
			t.Fatalf("-o yaml: got %d documents, want 3", len(documents))
		}
		var o object
		if err := yaml.UnmarshalStrict([]byte(documents[2]), &o); err != nil {
			t.Fatal(err)
		}
		if o.ExitCode == nil || *o.ExitCode != 137 || o.Reason != "OOMKilled" || o.FinishedAt == nil || o.StartedAt != nil {
			t.Errorf("-o yaml: got %+v, want exit code 137, OOMKilled and the time of the end only", o)
		}
	})
}

// Without a terminal no escape sequence reaches the output, whatever the cluster says.
func TestNoEscapeSequences(t *testing.T) {
	for _, args := range []string{"app-a", "app-a -o wide", "app-a -w", "app-a -w -o wide", "-A -w"} {
		t.Run(args, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := watchtest.NewServer()
				server.Create(pod("jobs", "app-a", 1, func(pod *corev1.Pod) {
					pod.Status = corev1.PodStatus{Phase: corev1.PodFailed, Reason: evil, Message: evil}
				}))
				c := startCall(t, server, strings.Fields(args)...)
				got := c.out.String()
				if !strings.Contains(got, "^[]0;owned") {
					t.Errorf("got %q, want the reason in it, escaped", got)
				}
				for _, r := range got {
					if r != '\n' && !unicode.IsPrint(r) {
						t.Errorf("got the rune %U, want printable ones only", r)
					}
				}
			})
		})
	}
}

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		server.Create(pod("jobs", "app-a", 1, nil))
		lines := startCall(t, server, "app-a", "-w")
		objects := startCall(t, server, "app-a", "-w", "-o", "json")
		server.Update("jobs", "app-a-exec-1", running)
		time.Sleep(time.Second)
		server.Update("jobs", "app-a-exec-1", ended(52, "Error"))
		server.Delete("jobs", "app-a-exec-1")
		time.Sleep(time.Second)

		var changes []string
		for line := range strings.Lines(lines.out.String()) {
			_, change, _ := strings.Cut(strings.TrimSpace(line), "  ") // the time
			changes = append(changes, strings.Join(strings.Fields(change), " "))
		}
		if want := []string{
			"1 Pending app-a-exec-1",
			"1 Pending -> Running app-a-exec-1",
			"1 Running -> Failed app-a-exec-1 exit 52 Error",
			"1 Failed -> Deleted app-a-exec-1 exit 52 Error",
		}; !slices.Equal(changes, want) {
			t.Errorf("-w: got %q, want %q", changes, want)
		}

		var states []string
		for decoder := json.NewDecoder(strings.NewReader(objects.out.String())); decoder.More(); {
			var c changeObject
			if err := decoder.Decode(&c); err != nil {
				t.Fatal(err)
			}
			before := "null"
			if c.Before != nil {
				before = c.Before.State
			}
			states = append(states, fmt.Sprint(before, " ", c.After.State, " ", c.Ended))
		}
		if want := []string{
			"null Pending false", "Pending Running false", "Running Failed true", "Failed Deleted false",
		}; !slices.Equal(states, want) {
			t.Errorf("-w -o json: got %q, want %q", states, want)
		}

		lines.cancel()
		if err := <-lines.done; err != nil {
			t.Errorf("after the end of the context: err = %v, want nil", err)
		}
	})
}

// A command that is interrupted first prints the changes that wait for the next batch.
func TestWatchInterrupted(t *testing.T) {
	for _, args := range [][]string{{"app-a", "-w"}, {"app-a", "-w", "--until-ended"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := watchtest.NewServer()
				server.Create(pod("jobs", "app-a", 1, nil))
				c := startCall(t, server, args...)
				server.Update("jobs", "app-a-exec-1", running)
				time.Sleep(batchInterval / 2)
				server.Update("jobs", "app-a-exec-1", ended(52, "Error"))
				synctest.Wait()
				c.cancel()
				<-c.done
				if got := c.out.String(); !strings.Contains(got, "Running -> Failed") {
					t.Errorf("got\n%s\nwant the end of the executor", got)
				}
			})
		})
	}
}

func TestRun(t *testing.T) {
	t.Setenv("KUBECONFIG", "/dev/null")
	for _, row := range []struct {
		args   string
		code   int
		errOut string
	}{
		{"-demo -o name", exitOK, ""},
		{"--demo -A", exitOK, ""},
		{"--help", exitOK, ""},
		{"a b", exitError, "accepts at most 1 arg"},
		{"app-a -o xml", exitError, `unknown output format "xml"`},
		{"--until-ended", exitError, "--until-ended needs an application"},
		{"--demo -A --until-ended", exitError, "--until-ended needs an application"},
		{"app-a --exit-status", exitOtherError, "--exit-status needs --until-ended"},
		{"app-a --until-ended --settle=-1s", exitError, "--settle must not be negative"},
		{"app-a --nonsense", exitError, "unknown flag"},
		{"not/valid -s http://127.0.0.1:1", exitError, "invalid application id"},
		{"app-a -s http://127.0.0.1:1", exitError, "check the address of the API server"},
		{"app-a -s http://127.0.0.1:1 --until-ended --exit-status", exitOtherError, "check the address of the API server"},
	} {
		t.Run(row.args, func(t *testing.T) {
			var out, errOut buffer
			code := Run(t.Context(), strings.Fields(row.args), genericiooptions.IOStreams{Out: &out, ErrOut: &errOut})
			if code != row.code || !strings.Contains(errOut.String(), row.errOut) {
				t.Errorf("code %d, %q on stderr; want %d, %q", code, errOut.String(), row.code, row.errOut)
			}
			if (out.String() != "") != (row.code == exitOK) {
				t.Errorf("code %d and %q on stdout; want an output only without an error", code, out.String())
			}
			if strings.Count(errOut.String(), "watchsource:") > 1 {
				t.Errorf("got %q, want the prefix once", errOut.String())
			}
		})
	}
}
