// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The commands under "Copy" in the README make a separate module that builds and runs, with its
// tests. A package that is internal to this repository would not be found there.
func TestCopy(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(readme), "### Copy\n")
	_, commands, opened := strings.Cut(section, "```sh\n")
	commands, _, closed := strings.Cut(commands, "```")
	if !found || !opened || !closed {
		t.Fatal("the README has no commands under Copy")
	}
	for old, new := range map[string]string{
		"copy=$HOME/scheduler\n": "copy=" + filepath.Join(t.TempDir(), "scheduler") + "\n",
		"go run .\n": "go vet ./... && go test -run '^(TestDemo|TestApplicationsShareAWatch)$' ./... &&\n" +
			"go run . -apps 2 -executors 1 -for 100ms\n",
	} {
		if strings.Count(commands, old) != 1 {
			t.Fatalf("the commands lack %q:\n%s", old, commands)
		}
		commands = strings.Replace(commands, old, new, 1)
	}
	run := exec.CommandContext(t.Context(), "sh", "-eu", "-c", commands)
	run.Dir, run.Env = root, append(os.Environ(), "GOFLAGS=", "KUBERNETES_SERVICE_HOST=") // a user has set none
	out, err := run.CombinedOutput()
	if err != nil || strings.Count(string(out), "left behind             0\n") != 2 {
		t.Errorf("%v, want the summaries of two applications\n%s\nafter\n%s", err, out, commands)
	}
}
