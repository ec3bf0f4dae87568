// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/executorpods/watchsource/examples/scheduler/internal/embedded"
)

func TestCommandLine(t *testing.T) {
	for _, tt := range []struct {
		args string
		code int
		says string
	}{
		{"-h", 0, "Keeps executor pods alive"},
		{"-nonsense", 2, "flag provided but not defined"},
		{"-executors 0", 2, "-executors must be at least 1, not 0"},
		{"-max-failures -1", 2, "-max-failures must not be negative"},
		{"-kubeconfig x -in-cluster", 2, "exclude each other"},
		{"five", 2, "no arguments"},
		{"-kubeconfig testdata/no-such-file", 1, "scheduler: read the kubeconfig"},
		{"-app /", 1, "scheduler: watchsource: invalid application id"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			t.Setenv("KUBERNETES_SERVICE_HOST", "")
			var stdout, stderr strings.Builder
			if code := command(t.Context(), strings.Fields(tt.args), &stdout, &stderr); code != tt.code {
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
	annotations := w.annotations()
	if annotations[embedded.RunForAnnotation] != "2.5s" || annotations[embedded.ExitCodeAnnotation] != "137" {
		t.Errorf("annotations = %v", annotations)
	}
	if forever := (work{}).annotations(); forever != nil {
		t.Errorf("annotations of endless work = %v", forever)
	}
}
