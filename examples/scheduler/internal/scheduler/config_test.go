// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/executorpods/watchsource/watchtest"
)

func TestCommandLine(t *testing.T) {
	for _, tt := range []struct {
		args string
		code int
		says string
	}{
		{args: "-h", code: 0, says: "Keeps executor pods alive"},
		{args: "-nonsense", code: 2, says: "flag provided but not defined"},
		{args: "-executors 0", code: 2, says: "-executors must be at least 1, not 0"},
		{args: "-apps 0", code: 2, says: "-apps must be at least 1, not 0"},
		{args: "-max-failures -1", code: 2, says: "-max-failures must not be negative"},
		{args: "-for -1s", code: 2, says: "-for must not be negative, as -1s is; -h shows the flags"},
		{args: "-kubeconfig x -in-cluster", code: 2, says: "exclude each other"},
		{args: "five", code: 2, says: "no arguments"},
		{args: "-kubeconfig testdata/no-such-file", code: 1, says: "scheduler: read the kubeconfig"},
		{args: "-http nowhere", code: 1, says: "see -http"},
		{args: "-app /", code: 1, says: "scheduler: watchsource: invalid application id"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			t.Setenv("KUBERNETES_SERVICE_HOST", "")
			var stdout, stderr strings.Builder
			if code := Run(t.Context(), strings.Fields(tt.args), &stdout, &stderr, Views{}); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			if !strings.Contains(stderr.String(), tt.says) {
				t.Errorf("stderr lacks %q:\n%s", tt.says, stderr.String())
			}
		})
	}
}

// A container and the simulated kubelet do the same work.
func TestWorkIsTheSameEverywhere(t *testing.T) {
	w := work{runFor: 2500 * time.Millisecond, exitCode: 137}
	if got, want := w.command(), []string{"sh", "-c", "trap 'exit 143' TERM; sleep 2.5 & wait $!; exit 137"}; !slices.Equal(got, want) {
		t.Errorf("command = %q, want %q", got, want)
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Annotations: w.annotations()}}
	if got, want := watchtest.LifecycleOf(pod), (watchtest.Lifecycle{RunFor: w.runFor, ExitCode: 137}); got != want {
		t.Errorf("the annotations say %+v, want %+v", got, want)
	}
	if forever := (work{}).annotations(); forever != nil {
		t.Errorf("annotations of endless work = %v, want none", forever)
	}
}
