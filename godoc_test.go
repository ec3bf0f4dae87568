// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// goDoc returns what go doc prints about a package.
func goDoc(t *testing.T, dir string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "doc", "-all", dir).CombinedOutput()
	if err != nil {
		t.Fatalf("go doc %s: %v\n%s", dir, err, out)
	}
	return string(out)
}

// A user can look up all that go doc names: no line is about an internal package.
func TestGoDocNamesNoInternalPackage(t *testing.T) {
	packages, err := filepath.Glob("internal/*")
	must(t, err)
	var names []string
	for _, dir := range packages {
		names = append(names, filepath.Base(dir))
	}
	if len(names) == 0 {
		t.Fatal("there are no internal packages, want some")
	}
	internal := regexp.MustCompile(`\binternal/|\b(` + strings.Join(names, "|") + `)\.[A-Z]`)
	for _, dir := range []string{".", "./watchtest"} {
		for line := range strings.Lines(goDoc(t, dir)) {
			if internal.MatchString(line) {
				t.Errorf("go doc %s names an internal package: %s", dir, strings.TrimSpace(line))
			}
		}
	}
}

// go doc shows each constant of a type below the type.
func TestGoDocShowsConstantsWithTheirTypes(t *testing.T) {
	text := goDoc(t, ".")
	for _, first := range []string{"Unknown State = iota", "Stopped Phase = iota", "Listed ObservationKind = iota", "Seen Departure = iota + 1"} {
		name := strings.Fields(first)[1]
		_, section, found := strings.Cut(text, "\ntype "+name+" uint8\n")
		if !found {
			t.Errorf("go doc has no type %s, want one", name)
			continue
		}
		section, _, _ = strings.Cut(section, "\ntype ")
		if !strings.Contains(strings.Join(strings.Fields(section), " "), first) {
			t.Errorf("the constants of %s are not below it, want %q:\n%s", name, first, section)
		}
	}
}
