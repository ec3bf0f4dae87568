// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/executorpods/watchsource/integration/cluster"
	"github.com/executorpods/watchsource/internal/test/podtest"
	corev1 "k8s.io/api/core/v1"
)

// kubectl-executors with a kubeconfig, as a user with the rights list and watch in one
// namespace: the table, all applications, the wait for the end, and a missing right.
func TestKubectlExecutors(t *testing.T) {
	client := admin(t)
	namespace := newNamespace(t, client)
	plugin := newPlugin(t, "kubectl-user")
	plugin.user.mayOnly(t, client, namespace, "list", "watch")
	const app, other = "spark-kubectl", "spark-other"
	executors := create(t, client, executorPod(namespace, app, 1), executorPod(namespace, app, 2), executorPod(namespace, other, 1), driverPod(namespace, app))

	if got, want := plugin.run(t, 0, app, "-n", namespace, "-o", "name"), 2; strings.Count(got, "pod/") != want {
		t.Errorf("%s: got %q, want %d pods", app, got, want)
	}
	all := plugin.run(t, 0, "-n", namespace)
	if got := strings.Count(all, app+" "); got != 2 || strings.Count(all, other+" ") != 1 {
		t.Errorf("all applications: got\n%s\nwant two executors of %s and one of %s", all, app, other)
	}
	if got := plugin.run(t, 1, app, "-A"); !strings.Contains(got, "grant the verbs list and watch on the resource pods with a ClusterRole") {
		t.Errorf("all namespaces: got %q, want the right that is missing", got)
	}

	watching := plugin.start(t, app, "-n", namespace, "-w", "--until-ended", "--exit-status", "--settle=2s")
	for i, phase := range []corev1.PodPhase{corev1.PodSucceeded, corev1.PodFailed} {
		container := corev1.ContainerStatus{Name: executors[i].Spec.Containers[0].Name, State: podtest.Ended(int32(i*137), "Error")}
		writeStatus(t, client, executors[i], corev1.PodStatus{Phase: phase, ContainerStatuses: []corev1.ContainerStatus{container}})
	}
	output, code := watching.wait(t)
	if code != 1 || !strings.Contains(output, "exit 137") || !strings.Contains(output, "have ended") {
		t.Errorf("until ended: got code %d and\n%s\nwant 1, the exit code 137 and the summary", code, output)
	}
}

// A plugin is the program and the kubeconfig of its user.
type plugin struct {
	user       user
	program    string
	kubeconfig string
}

func newPlugin(t *testing.T, name string) plugin {
	t.Helper()
	u := newUser(t, name)
	p := plugin{user: u, program: buildProgram(t, "../kubectl", "./cmd/kubectl-executors"), kubeconfig: filepath.Join(t.TempDir(), "kubeconfig")}
	if err := cluster.WriteKubeconfig(p.kubeconfig, u.config); err != nil {
		t.Fatal(err)
	}
	return p
}

// run runs the plugin and returns its output. The plugin must end with the exit code.
func (p plugin) run(t *testing.T, code int, args ...string) string {
	t.Helper()
	output, got := p.start(t, args...).wait(t)
	if got != code {
		t.Errorf("%v: exit code %d, want %d\n%s", args, got, code, output)
	}
	return output
}

// A pluginRun is a plugin that runs.
type pluginRun struct {
	cmd    *exec.Cmd
	output bytes.Buffer // complete after wait
}

func (p plugin) start(t *testing.T, args ...string) *pluginRun {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	r := &pluginRun{cmd: exec.CommandContext(ctx, p.program, append(args, "--kubeconfig", p.kubeconfig)...)}
	r.cmd.Stdout, r.cmd.Stderr = &r.output, &r.output
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *pluginRun) wait(t *testing.T) (output string, code int) {
	t.Helper()
	err := r.cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return r.output.String(), exit.ExitCode()
	}
	if err != nil {
		t.Fatal(err)
	}
	return r.output.String(), 0
}
