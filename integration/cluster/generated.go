// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	_ "embed" // for servers.sum
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// serversSum has the lines of go.sum of all modules that the versions of .ci/run servers are
// built from. A module that has changed since is not built.
//
//go:embed servers.sum
var serversSum string

// A generated program is built in a module that is written for it.
type generated struct {
	name    string
	module  string
	version string
	pkg     string
	ldflags string
}

func apiserverProgram(version string) generated {
	return generated{name: "kube-apiserver", module: kubernetesModule, version: version, pkg: apiserverPackage, ldflags: stamp(version)}
}

func kineProgram() generated {
	return generated{
		name: "kine", module: kineModule, version: kineVersion, pkg: kineModule,
		ldflags: "-X " + kineModule + "/pkg/version.Version=" + kineVersion,
	}
}

// A theirs is the part of the program's own go.mod that its build depends on and that a
// module which requires it would ignore.
type theirs struct {
	Go      string
	GoDebug []struct{ Key, Value string }
	Replace []struct {
		Old, New struct{ Path, Version string }
	}
}

// build writes the module to dir and builds there.
func (g generated) build(ctx context.Context, dir, built string) error {
	sums, err := g.resolve(ctx, dir)
	if err != nil {
		return err
	}
	if err := g.vouch(ctx, sums); err != nil {
		return err
	}
	return goBuild(ctx, dir, built, g.pkg, g.ldflags, "-mod=readonly")
}

// resolve writes the module to dir, downloads all that it needs, and returns the lines of its
// go.sum.
func (g generated) resolve(ctx context.Context, dir string) ([]string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make module directory: %w", err)
	}
	mod, err := g.goMod(ctx)
	if err != nil {
		return nil, err
	}
	sums := filepath.Join(dir, "go.sum")
	for path, text := range map[string]string{filepath.Join(dir, "go.mod"): mod, sums: serversSum} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return nil, fmt.Errorf("write module: %w", err)
		}
	}
	if _, err := goCommand(ctx, dir, "list", "-mod=mod", "-deps", g.pkg); err != nil {
		return nil, fmt.Errorf("resolve the modules of %s %s: %w", g.module, g.version, err)
	}
	text, err := os.ReadFile(sums)
	return strings.Split(string(text), "\n"), err
}

// vouch fails if nothing vouches for the downloaded modules. The go command checks the lines that
// it adds to go.sum with the checksum database, if that is in use.
func (g generated) vouch(ctx context.Context, sums []string) error {
	known := strings.Split(serversSum, "\n")
	slices.Sort(known)
	has := func(line string) bool {
		_, found := slices.BinarySearch(known, line)
		return found
	}
	added := slices.DeleteFunc(slices.Clone(sums), has)
	listed := slices.ContainsFunc(known, func(line string) bool { return strings.HasPrefix(line, g.module+" "+g.version+" ") })
	switch {
	case len(added) == 0:
		return nil
	case listed:
		return fmt.Errorf("%s %s needs modules that servers.sum does not have, the first is %s", g.module, g.version, added[0])
	}
	database, err := goCommand(ctx, "", "env", "GOSUMDB")
	if err == nil && strings.TrimSpace(database) == "off" {
		err = fmt.Errorf("nothing vouches for %d checksums of the modules of %s %s: GOSUMDB is off, and servers.sum does not have them", len(added), g.module, g.version)
	}
	return err
}

func (g generated) goMod(ctx context.Context) (string, error) {
	out, err := goCommand(ctx, os.TempDir(), "mod", "download", "-json", g.module+"@"+g.version)
	if err != nil {
		return "", fmt.Errorf("download %s %s: %w", g.module, g.version, err)
	}
	var downloaded struct{ GoMod string }
	if err := json.Unmarshal([]byte(out), &downloaded); err != nil {
		return "", fmt.Errorf("download %s %s: %w", g.module, g.version, err)
	}
	out, err = goCommand(ctx, "", "mod", "edit", "-json", downloaded.GoMod)
	if err != nil {
		return "", fmt.Errorf("read go.mod of %s %s: %w", g.module, g.version, err)
	}
	var own theirs
	if err := json.Unmarshal([]byte(out), &own); err != nil {
		return "", fmt.Errorf("read go.mod of %s %s: %w", g.module, g.version, err)
	}
	return g.write(own)
}

// write writes a go.mod. Kubernetes requires its staging modules as v0.0.0 and replaces them by
// folders of its tree; here they are replaced by their published releases.
func (g generated) write(own theirs) (string, error) {
	var text strings.Builder
	fmt.Fprintf(&text, "module b\n\ngo %s\n\n", own.Go)
	for _, setting := range own.GoDebug {
		fmt.Fprintf(&text, "godebug %s=%s\n\n", setting.Key, setting.Value)
	}
	fmt.Fprintf(&text, "require %s %s\n", g.module, g.version)
	for _, r := range own.Replace {
		replacement := r.New.Path + " " + r.New.Version
		if r.New.Version == "" {
			version, err := parseRelease(g.version)
			if err != nil {
				return "", err
			}
			replacement = r.Old.Path + " " + version.staging()
		}
		fmt.Fprintf(&text, "\nreplace %s => %s\n", strings.TrimSpace(r.Old.Path+" "+r.Old.Version), replacement)
	}
	return text.String(), nil
}
