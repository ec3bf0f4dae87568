// SPDX-License-Identifier: Apache-2.0

// Versions compares the modules that several modules of this repository build packages of, tests
// included. It fails if two of them use different versions of one: the go command then compiles
// its packages, and all that import them, for each of the two, which takes minutes.
//
//	go run -C tools ./versions ../kubectl ../bench
package main

import (
	"bytes"
	"fmt"
	"log"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) < 3 {
		log.Fatal("usage: versions directory directory...")
	}
	used := versions{}
	for _, dir := range os.Args[1:] {
		if err := used.list(dir); err != nil {
			log.Fatal(err)
		}
	}
	differences := used.differences()
	fmt.Printf("%d modules are used, %d of them in different versions\n", len(used), len(differences))
	if len(differences) > 0 {
		log.Fatal(strings.Join(differences, "\n"))
	}
}

// versions has, for the path of a module, the directories that use each version of it.
type versions map[string]map[string][]string

// list adds the modules of the packages that are built in a directory.
func (v versions) list(dir string) error {
	var stderr bytes.Buffer
	command := exec.Command("go", "list", "-deps", "-test", "-f", "{{with .Module}}{{.Path}} {{.Version}}{{end}}", "./...")
	command.Dir, command.Stderr = dir, &stderr
	out, err := command.Output()
	if err != nil {
		return fmt.Errorf("%s: go list: %w\n%s", dir, err, stderr.String())
	}
	v.add(dir, string(out))
	return nil
}

// add reads a module and its version from each line. The module of the directory itself has no version.
func (v versions) add(dir, lines string) {
	for line := range strings.Lines(lines) {
		module, version, found := strings.Cut(strings.TrimSpace(line), " ")
		if !found || slices.Contains(v[module][version], dir) {
			continue
		}
		if v[module] == nil {
			v[module] = map[string][]string{}
		}
		v[module][version] = append(v[module][version], dir)
	}
}

// differences has one text for each module that is used in several versions.
func (v versions) differences() []string {
	var texts []string
	for _, module := range slices.Sorted(maps.Keys(v)) {
		if len(v[module]) < 2 {
			continue
		}
		lines := []string{module + ":"}
		for _, version := range slices.Sorted(maps.Keys(v[module])) {
			lines = append(lines, fmt.Sprintf("  %s in %s", version, strings.Join(v[module][version], ", ")))
		}
		texts = append(texts, strings.Join(lines, "\n"))
	}
	return texts
}
