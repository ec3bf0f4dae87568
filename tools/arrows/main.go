// SPDX-License-Identifier: Apache-2.0

// Arrows measures how simple the map of the code is. An arrow runs from a file to another file
// of the same package if the first one names something that the second one declares at the level
// of the package. Arrows between packages are imports, and cannot form a ring.
//
// It prints the arrows of each package, and those that run back: the arrows that lie in a ring of
// files. It fails if there are more than the flags allow, or if a file or a function is too long.
// Tests count for the lengths only.
//
//	go run -C tools ./arrows [flags] [-v] ..
package main

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"log"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

var (
	maxArrows   = flag.Int("arrows", 0, "the most arrows that are allowed, 0 for any number")
	maxBack     = flag.Int("back", 0, "the most arrows in rings that are allowed, 0 for any number")
	maxFile     = flag.Int("file", 0, "the most lines of a file, 0 for any number")
	maxFunction = flag.Int("function", 0, "the most lines of a function, 0 for any number")
	verbose     = flag.Bool("v", false, "print each arrow")
)

func main() {
	log.SetFlags(0)
	flag.Parse()
	if flag.NArg() != 1 {
		log.Fatal("usage: arrows [flags] directory")
	}
	if err := os.Chdir(flag.Arg(0)); err != nil {
		log.Fatal(err)
	}
	dirs, err := packages(".")
	if err != nil {
		log.Fatal(err)
	}
	var total, back, long int
	for _, dir := range dirs {
		p, err := load(dir)
		if err != nil {
			log.Fatal(err)
		}
		long += p.reportLengths()
		if isForTests(dir) {
			continue
		}
		arrows := p.arrows()
		rings := inRings(arrows)
		total += len(arrows)
		back += len(rings)
		fmt.Printf("%-28s %3d files %4d arrows %3d run back\n", dir, p.count(), len(arrows), len(rings))
		if *verbose {
			printArrows(arrows, rings)
		}
	}
	fmt.Printf("%-28s           %4d arrows %3d run back\n", "all", total, back)
	switch {
	case *maxArrows > 0 && total > *maxArrows:
		log.Fatalf("%d arrows, at most %d are allowed", total, *maxArrows)
	case *maxBack > 0 && back > *maxBack:
		log.Fatalf("%d arrows run back, at most %d are allowed", back, *maxBack)
	case long > 0:
		log.Fatalf("%d files and functions are too long", long)
	}
}

// packages returns the directories that are measured: the root, watchtest and all below internal.
func packages(root string) ([]string, error) {
	dirs := []string{root, "watchtest"}
	err := filepath.WalkDir(filepath.Join(root, "internal"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() || d.Name() == "testdata" {
			return err
		}
		if files, _ := filepath.Glob(filepath.Join(path, "*.go")); len(files) > 0 {
			dirs = append(dirs, path)
		}
		return nil
	})
	return dirs, err
}

// isForTests reports whether a package is used by tests only.
func isForTests(dir string) bool {
	return dir == "watchtest" || strings.HasPrefix(filepath.ToSlash(dir), "internal/test/")
}

// A source is one package.
type source struct {
	fset  *token.FileSet
	files map[string]*ast.File // by name, tests included
}

func load(dir string) (*source, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	p := &source{token.NewFileSet(), map[string]*ast.File{}}
	for _, name := range names {
		file, err := parser.ParseFile(p.fset, name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		p.files[name] = file
	}
	return p, nil
}

func isTest(name string) bool { return strings.HasSuffix(name, "_test.go") }

// count returns the number of files without tests.
func (p *source) count() int {
	n := 0
	for name := range p.files {
		if !isTest(name) {
			n++
		}
	}
	return n
}

// An arrow runs from a file to another.
type arrow struct{ from, to string }

// arrows returns the arrows, and for each the names that cause it.
func (p *source) arrows() map[arrow][]string {
	var files []*ast.File
	for _, name := range slices.Sorted(maps.Keys(p.files)) {
		if !isTest(name) {
			files = append(files, p.files[name])
		}
	}
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	// Only the names of the package are needed, so imports are not resolved, and the errors that
	// this causes do not matter.
	config := types.Config{Importer: noImports{}, Error: func(error) {}}
	checked, _ := config.Check("p", p.fset, files, info)
	arrows := map[arrow][]string{}
	for id, object := range info.Uses {
		if object.Pkg() != checked || object.Parent() != checked.Scope() {
			continue
		}
		a := arrow{p.fset.Position(id.Pos()).Filename, p.fset.Position(object.Pos()).Filename}
		if a.from != a.to && !slices.Contains(arrows[a], object.Name()) {
			arrows[a] = append(arrows[a], object.Name())
		}
	}
	return arrows
}

// noImports returns empty packages.
type noImports struct{}

func (noImports) Import(path string) (*types.Package, error) {
	empty := types.NewPackage(path, filepath.Base(path))
	empty.MarkComplete()
	return empty, nil
}

// inRings returns the arrows from whose end a path of arrows leads back to their beginning.
func inRings(arrows map[arrow][]string) map[arrow]bool {
	next := map[string][]string{}
	for a := range arrows {
		next[a.from] = append(next[a.from], a.to)
	}
	rings := map[arrow]bool{}
	for a := range arrows {
		if reaches(next, a.to, a.from, map[string]bool{}) {
			rings[a] = true
		}
	}
	return rings
}

func reaches(next map[string][]string, from, to string, seen map[string]bool) bool {
	if from == to {
		return true
	}
	seen[from] = true
	return slices.ContainsFunc(next[from], func(file string) bool { return !seen[file] && reaches(next, file, to, seen) })
}

func printArrows(arrows map[arrow][]string, rings map[arrow]bool) {
	lines := make([]string, 0, len(arrows))
	for a, names := range arrows {
		slices.Sort(names)
		mark := "->"
		if rings[a] {
			mark = "<->"
		}
		lines = append(lines, fmt.Sprintf("    %s %s %s: %s", filepath.Base(a.from), mark, filepath.Base(a.to), strings.Join(names, " ")))
	}
	slices.Sort(lines)
	fmt.Println(strings.Join(lines, "\n"))
}

// reportLengths prints the files and functions that are too long, and returns their number.
func (p *source) reportLengths() (long int) {
	for _, name := range slices.Sorted(maps.Keys(p.files)) {
		file := p.files[name]
		if n := p.fset.File(file.FileStart).LineCount(); *maxFile > 0 && n > *maxFile {
			fmt.Printf("%s has %d lines, at most %d are allowed\n", name, n, *maxFile)
			long++
		}
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || *maxFunction == 0 {
				continue
			}
			if n := p.fset.Position(f.End()).Line - p.fset.Position(f.Pos()).Line + 1; n > *maxFunction {
				fmt.Printf("%s: %s has %d lines, at most %d are allowed\n", name, f.Name.Name, n, *maxFunction)
				long++
			}
		}
	}
	return long
}
