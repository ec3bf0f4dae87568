// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

func read(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	must(t, err)
	return string(content)
}

// The quick start of the README is code that Example runs.
func TestReadmeQuickStartIsTheExample(t *testing.T) {
	_, section, _ := strings.Cut(read(t, "README.md"), "## Quick start\n\n```go\n")
	code, _, found := strings.Cut(section, "```")
	if !found {
		t.Fatal("the README has no quick start")
	}
	if lines := strings.Count(code, "\n"); lines >= 15 {
		t.Errorf("the quick start has %d lines", lines)
	}
	indented := "\t" + strings.ReplaceAll(strings.TrimSuffix(code, "\n"), "\n", "\n\t") + "\n"
	if !strings.Contains(read(t, "example_test.go"), indented) {
		t.Errorf("the quick start is not a part of example_test.go:\n%s", code)
	}
}

// Every test that the README names as a proof exists.
func TestReadmeNamesTests(t *testing.T) {
	var code strings.Builder
	for _, dir := range []string{".", "integration", "integration/faults", "bench"} {
		entries, err := os.ReadDir(dir)
		must(t, err)
		for _, entry := range entries {
			if strings.HasSuffix(entry.Name(), "_test.go") {
				code.WriteString(read(t, dir+"/"+entry.Name()))
			}
		}
	}
	named := regexp.MustCompile("`((?:Test|Example)[A-Za-z0-9]+)`").FindAllStringSubmatch(read(t, "README.md"), -1)
	if len(named) < 11 {
		t.Fatalf("the README names %d tests", len(named))
	}
	for _, match := range named {
		if !strings.Contains(code.String(), "func "+match[1]+"(") {
			t.Errorf("the README names %s, which does not exist", match[1])
		}
	}
}
