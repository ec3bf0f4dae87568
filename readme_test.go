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
		t.Fatal("the README has no quick start, want a section with Go code")
	}
	if lines := strings.Count(code, "\n"); lines >= 15 {
		t.Errorf("the quick start has %d lines, want fewer than 15", lines)
	}
	indented := "\t" + strings.ReplaceAll(strings.TrimSuffix(code, "\n"), "\n", "\n\t") + "\n"
	if !strings.Contains(read(t, "example_test.go"), indented) {
		t.Errorf("the quick start is not a part of example_test.go, want it there:\n%s", code)
	}
}

// The code for many applications is code that ExampleSharedWatch runs.
func TestReadmeSharedWatchIsTheExample(t *testing.T) {
	_, section, _ := strings.Cut(read(t, "README.md"), "Many applications in one process")
	_, section, _ = strings.Cut(section, "```go\n")
	code, _, found := strings.Cut(section, "```")
	if !found {
		t.Fatal("the README has no code for many applications, want some")
	}
	indented := "\t" + strings.ReplaceAll(strings.TrimSuffix(code, "\n"), "\n", "\n\t") + "\n"
	if !strings.Contains(read(t, "example_test.go"), indented) {
		t.Errorf("the code for many applications is not a part of example_test.go, want it there:\n%s", code)
	}
}

// Every test that the README and the other documents name exists.
func TestReadmeNamesTests(t *testing.T) {
	var code strings.Builder
	for _, dir := range []string{".", "internal/clientset", "internal/listwatch", "internal/retry", "internal/test/modeltest", "internal/podwire", "integration", "integration/faults", "integration/proxies", "integration/spark", "integration/spark/application", "bench"} {
		entries, err := os.ReadDir(dir)
		must(t, err)
		for _, entry := range entries {
			if strings.HasSuffix(entry.Name(), "_test.go") {
				code.WriteString(read(t, dir+"/"+entry.Name()))
			}
		}
	}
	for _, document := range []string{"README.md", "DESIGN.md", "CONTRIBUTING.md", "integration/README.md", "integration/spark/README.md", "integration/spark/SUITES.md"} {
		named := regexp.MustCompile("`((?:Test|Example|Fuzz)[A-Za-z0-9]+)`").FindAllStringSubmatch(read(t, document), -1)
		if len(named) < 4 {
			t.Fatalf("%s names %d tests, want at least 4", document, len(named))
		}
		for _, match := range named {
			if !strings.Contains(code.String(), "func "+match[1]+"(") {
				t.Errorf("%s names %s, which does not exist, want an existing test", document, match[1])
			}
		}
	}
}
