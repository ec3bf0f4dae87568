// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
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

// The code for many applications is code that ExampleNewStoreBy runs.
func TestReadmeStoreByIsTheExample(t *testing.T) {
	_, section, _ := strings.Cut(read(t, "README.md"), "Many applications in one process")
	_, section, _ = strings.Cut(section, "```go\n")
	code, _, found := strings.Cut(section, "```")
	if !found {
		t.Fatal("the README has no code for many applications, want some")
	}
	indented := "\t" + strings.ReplaceAll(strings.TrimSuffix(code, "\n"), "\n", "\n\t") + "\n"
	if !strings.Contains(read(t, "example_storeby_test.go"), indented) {
		t.Errorf("the code for many applications is not a part of example_storeby_test.go, want it there:\n%s", code)
	}
}

// tree has the files of the repository by their paths, and the tests, benchmarks and fuzz
// targets of all modules by their names.
type tree struct{ files, tests map[string]bool }

var testFunction = regexp.MustCompile(`(?m)^func ((?:Test|Example|Fuzz|Benchmark)\w*)\(`)

func readTree(t *testing.T) tree {
	t.Helper()
	found := tree{map[string]bool{}, map[string]bool{}}
	must(t, filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && entry.Name() == ".git":
			return filepath.SkipDir
		case entry.IsDir():
			return nil
		}
		found.files[filepath.ToSlash(path)] = true
		if strings.HasSuffix(path, "_test.go") {
			for _, match := range testFunction.FindAllStringSubmatch(read(t, path), -1) {
				found.tests[match[1]] = true
			}
		}
		return nil
	}))
	return found
}

// hasFile reports whether a document in a folder can mean a file of the repository by its name:
// it may leave out the first folders.
func (found tree) hasFile(folder, name string) bool {
	if found.files[path.Join(folder, name)] {
		return true
	}
	for file := range found.files {
		if strings.HasSuffix("/"+file, "/"+name) {
			return true
		}
	}
	return false
}

func (found tree) hasTestThatBegins(prefix string) bool {
	for name := range found.tests {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// prose returns what a reader reads of a Markdown file, without blocks of code, and the comments
// of Go code.
func prose(t *testing.T, file string) string {
	t.Helper()
	if strings.HasSuffix(file, ".go") {
		return strings.Join(regexp.MustCompile(`(?m)^\s*//(?: .*)?$`).FindAllString(read(t, file), -1), "\n")
	}
	return regexp.MustCompile("(?ms)^```.*?^```").ReplaceAllString(read(t, file), "")
}

// documents returns the Markdown files and the Go code that is not a test.
func (found tree) documents() []string {
	var documents []string
	for file := range found.files {
		if strings.HasSuffix(file, ".md") || strings.HasSuffix(file, ".go") && !strings.HasSuffix(file, "_test.go") {
			documents = append(documents, file)
		}
	}
	slices.Sort(documents)
	return documents
}

// Every test that a document or a comment names exists. With -run it names the beginning.
func TestDocumentsNameTests(t *testing.T) {
	found := readTree(t)
	name := regexp.MustCompile(`(-run [\^']*)?\b((?:Test|Fuzz|Benchmark)(?:[A-Z]\w*))`)
	named := 0
	for _, document := range found.documents() {
		for _, match := range name.FindAllStringSubmatch(prose(t, document), -1) {
			named++
			if match[1] != "" && found.hasTestThatBegins(match[2]) || found.tests[match[2]] {
				continue
			}
			t.Errorf("%s names %s, which does not exist, want an existing test", document, match[2])
		}
	}
	if named < 200 {
		t.Errorf("all documents name %d tests, want at least 200: is the pattern wrong?", named)
	}
}

// Every file that a document or a comment names exists. A name in capitals stands for any.
func TestDocumentsNameFiles(t *testing.T) {
	found := readTree(t)
	name := regexp.MustCompile(`[\w./-]*\w\.(?:go|mod|sum|md|json|svg|yaml|yml|sh|txt|jars|work)\b`)
	named := 0
	for _, document := range found.documents() {
		for _, file := range name.FindAllString(prose(t, document), -1) {
			stem, _, _ := strings.Cut(file, ".")
			if stem != "" && stem == strings.ToUpper(stem) && !strings.HasSuffix(file, ".md") {
				continue
			}
			named++
			if !found.hasFile(path.Dir(document), file) {
				t.Errorf("%s names the file %s, which does not exist, want an existing file", document, file)
			}
		}
	}
	if named < 150 {
		t.Errorf("all documents name %d files, want at least 150: is the pattern wrong?", named)
	}
}

// Every option, and every other function but a constructor, has an Example.
func TestOptionsHaveExamples(t *testing.T) {
	found := readTree(t)
	function := regexp.MustCompile(`(?m)^func ([A-Z]\w*)\(`)
	for file := range found.files {
		if path.Dir(file) != "." || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, match := range function.FindAllStringSubmatch(read(t, file), -1) {
			if !strings.HasPrefix(match[1], "New") && !found.tests["Example"+match[1]] {
				t.Errorf("%s has the function %s without an example, want a function Example%[2]s", file, match[1])
			}
		}
	}
}
