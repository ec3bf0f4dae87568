// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const library = "github.com/executorpods/watchsource"

// The replace lines that the README of the examples names are enough to import each module, and its
// commands make a program that builds.
func TestModulesAsDependencies(t *testing.T) {
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "examples/README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "## Another module of this repository in your program\n")
	if !found {
		t.Fatal("the README has no section about modules")
	}
	imports := map[string]string{
		"the root, `watchtest`": "/watchtest",
		"`metrics`":             "/metrics",
		"`kubectl`":             "/kubectl/screen",
		"`controller`":          "/controller",
	}
	rows := regexp.MustCompile("(?m)^\\| (.*`) \\| (`watchsource.*`) \\|$").FindAllStringSubmatch(section, -1)
	if len(rows) != len(imports) {
		t.Errorf("the table has %d rows, want %d", len(rows), len(imports))
	}
	for _, row := range rows {
		t.Run(row[1], func(t *testing.T) {
			commands := []string{"go mod init example.com/program"}
			for name := range strings.SplitSeq(row[2], ", ") {
				path := strings.TrimPrefix(strings.Trim(name, "`"), "watchsource")
				commands = append(commands, fmt.Sprintf("go mod edit -replace=%s%s='%s%s'", library, path, root, path))
			}
			program := fmt.Sprintf("package main; import _ %q; func main() {}", library+imports[row[1]])
			commands = append(commands, "echo '"+program+"' >main.go", "go mod tidy", "go list -deps >packages")
			shell(t, t.TempDir(), strings.Join(commands, "\n"))
		})
	}

	_, commands, opened := strings.Cut(section, "```sh\n")
	commands, _, closed := strings.Cut(commands, "```")
	const program = "program=$HOME/monitor\n"
	if !opened || !closed || strings.Count(commands, program) != 1 {
		t.Fatalf("the README has no commands with %q", program)
	}
	shell(t, root, strings.Replace(commands, program, "program="+filepath.Join(t.TempDir(), "monitor")+"\n", 1))
	writesNothingHere(t, strings.Replace(commands, program, "program="+t.TempDir()+"\n", 1))
}

// writesNothingHere runs commands that make a directory which exists. An interactive shell goes on
// after an error, so each command must depend on the one before it.
func writesNothingHere(t *testing.T, commands string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), "sh", "-c", commands)
	command.Dir = t.TempDir()
	out, err := command.CombinedOutput()
	files, readErr := os.ReadDir(command.Dir)
	if err == nil || readErr != nil || len(files) > 0 {
		t.Errorf("got %v and %v, %v in the directory of the repository, want an error and nothing\n%s", err, readErr, files, out)
	}
}

// shell runs commands in a directory, without GOFLAGS, as for most users.
func shell(t *testing.T, dir, commands string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), "sh", "-eu", "-c", commands)
	command.Dir, command.Env = dir, append(os.Environ(), "GOFLAGS=")
	if out, err := command.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s\nafter\n%s", err, out, commands)
	}
}
