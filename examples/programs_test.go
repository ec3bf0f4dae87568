// SPDX-License-Identifier: Apache-2.0

// Package examples_test runs the small programs and the commands of the README as a newcomer does.
package examples_test

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Without a cluster each program names the kubeconfigs that it has tried. -h names the argument.
func TestProgramsForANewcomer(t *testing.T) {
	dir, home := t.TempDir(), t.TempDir()
	command := exec.CommandContext(t.Context(), "go", "build", "-o", dir, "./minimal", "./handlers", "./steps", "./buildagent")
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	const noCluster = "found no cluster, set KUBECONFIG or run in a pod; looked at "
	for name, argument := range map[string]string{"minimal": "APP", "handlers": "APP", "steps": "COMMAND...", "buildagent": "JOB"} {
		usage := "usage: " + name + " [flags] " + argument + "\n|  -namespace namespace\n"
		for _, tt := range []struct {
			args string
			env  string
			code int
			want string // on stderr, the parts in this order
		}{
			{"-h", "", 0, usage},
			{"-typo x", "", 2, "flag provided but not defined: -typo\n|" + usage},
			{"", "", 2, usage}, // before it looks for a cluster
			{"x y", "", 2, usage},
			{"x", "", 1, noCluster + "[" + filepath.Join(home, ".kube/config") + "]: "},
			{"x", "KUBECONFIG=/no/a:/no/b", 1, noCluster + "[/no/a /no/b]: "},
			{"x", "KUBECONFIG=programs_test.go", 1, noCluster + "[programs_test.go]: |error loading config file"},
		} {
			if tt.args == "x y" && name == "steps" {
				continue // takes any number of commands
			}
			run := exec.CommandContext(t.Context(), filepath.Join(dir, name), strings.Fields(tt.args)...)
			run.Env = []string{"HOME=" + home, tt.env}
			var stdout, stderr bytes.Buffer
			run.Stdout, run.Stderr = &stdout, &stderr
			_ = run.Run() // the code and stderr say what went wrong
			if code := run.ProcessState.ExitCode(); code != tt.code || stdout.Len() > 0 || !hasInOrder(stderr.String(), tt.want) {
				t.Errorf("%s %s %s: code %d, %q on stdout, on stderr\n%s\nwant %d, nothing, and %q in this order",
					tt.env, name, tt.args, code, stdout.String(), stderr.String(), tt.code, strings.Split(tt.want, "|"))
			}
		}
	}
}

// hasInOrder reports whether a text has the parts, divided by "|", one after the other.
func hasInOrder(text, parts string) bool {
	for part := range strings.SplitSeq(parts, "|") {
		_, rest, found := strings.Cut(text, part)
		if !found {
			return false
		}
		text = rest
	}
	return true
}
