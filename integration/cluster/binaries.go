// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	etcdModule       = "go.etcd.io/etcd/server/v3"
	kubernetesModule = "k8s.io/kubernetes"
	kineModule       = "github.com/k3s-io/kine"
	apiserverPackage = kubernetesModule + "/cmd/kube-apiserver"

	kineVersion = "v0.17.5"
)

// binaries are the paths of the programs.
type binaries struct {
	etcd      string // or ""
	kine      string // or ""
	apiserver string
}

// findBinaries returns the programs, and builds them if necessary. They are kept by
// version outside Go's build cache, which removes entries that were not used for five
// days.
func findBinaries(ctx context.Context, setup Setup, report func(string)) (binaries, error) {
	if dir := os.Getenv(assetsVariable); dir != "" && setup.Server == "" && setup.Store == Etcd {
		return installedBinaries(ctx, dir)
	}
	b := builder{ctx: ctx, report: report}
	found := binaries{apiserver: b.apiserver(setup.Server)}
	if setup.Store == Etcd {
		found.etcd = b.etcd()
	} else {
		found.kine = b.kine()
	}
	return found, b.err
}

// A builder finds or builds programs until it fails.
type builder struct {
	ctx    context.Context
	report func(string)
	err    error
}

// etcd is the one of go.mod, whichever server uses it.
func (b *builder) etcd() string { return b.pinned("etcd", etcdModule, "") }

func (b *builder) apiserver(version string) string {
	pinned := b.version(kubernetesModule)
	if version == "" || version == pinned {
		return b.pinned("kube-apiserver", apiserverPackage, stamp(pinned))
	}
	return b.generated("kubernetes-"+version, apiserverProgram(version))
}

func (b *builder) kine() string { return b.generated("kine-"+kineVersion, kineProgram()) }

// pinned returns a program of this module's go.mod.
func (b *builder) pinned(name, pkg, ldflags string) string {
	dir := b.cache("kubernetes-" + b.version(kubernetesModule) + "-etcd-" + b.version(etcdModule))
	target := filepath.Join(dir, name)
	b.once(target, func(built string) error { return goBuild(b.ctx, "", built, pkg, ldflags) })
	return target
}

// generated returns a program of another version. Its module is in the folder.
func (b *builder) generated(folder string, g generated) string {
	dir := b.cache(folder)
	target := filepath.Join(dir, g.name)
	b.once(target, func(built string) error { return g.build(b.ctx, filepath.Join(dir, "module"), built) })
	return target
}

func (b *builder) version(module string) string {
	if b.err != nil {
		return ""
	}
	var version string
	version, b.err = moduleVersion(b.ctx, module)
	return version
}

func (b *builder) cache(folder string) string {
	cache, err := os.UserCacheDir()
	if err != nil {
		b.err = errors.Join(b.err, fmt.Errorf("find cache directory: %w", err))
	}
	return filepath.Join(cache, "watchsource-integration", folder)
}

// once builds beside the target and renames, so that neither an interruption nor a second
// process ever leaves half a program in its place.
func (b *builder) once(target string, build func(built string) error) {
	if b.err != nil {
		return
	}
	if _, err := os.Stat(target); !errors.Is(err, fs.ErrNotExist) {
		b.err = err
		return
	}
	b.err = b.now(target, build)
}

func (b *builder) now(target string, build func(built string) error) error {
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return fmt.Errorf("make cache directory: %w", err)
	}
	b.report(fmt.Sprintf("building %s, which takes minutes the first time and is kept in %s", filepath.Base(target), filepath.Dir(target)))
	scratch, err := os.MkdirTemp(filepath.Dir(target), "build-*")
	if err != nil {
		return fmt.Errorf("make build directory: %w", err)
	}
	defer os.RemoveAll(scratch)
	built := filepath.Join(scratch, filepath.Base(target))
	if err := build(built); err != nil {
		return err
	}
	return os.Rename(built, target)
}

// moduleVersion asks the go command, because it alone knows which version the
// go.mod of the current directory comes to.
func moduleVersion(ctx context.Context, module string) (string, error) {
	out, err := goCommand(ctx, "", "list", "-m", "-f", "{{.Version}}", module)
	if err != nil {
		return "", fmt.Errorf("find version of %s, which only works within its module: %w", module, err)
	}
	return strings.TrimSpace(out), nil
}

// stamp gives kube-apiserver the version that a release build has. Without it
// the server calls itself v0.0.0-master, and clients that look at the version
// believe it.
func stamp(version string) string {
	const pkg = "k8s.io/component-base/version"
	r, err := parseRelease(version)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("-X %[1]s.gitVersion=%[2]s -X %[1]s.gitMajor=%[3]s -X %[1]s.gitMinor=%[4]s -X %[1]s.gitTreeState=clean",
		pkg, version, r.major, r.minor)
}

// goBuild builds in the module of dir, the current one for "".
func goBuild(ctx context.Context, dir, built, pkg, ldflags string, flags ...string) error {
	args := append([]string{"build", "-ldflags", "-s -w " + ldflags, "-o", built}, flags...)
	if _, err := goCommand(ctx, dir, append(args, pkg)...); err != nil {
		return fmt.Errorf("build %s: %w", pkg, err)
	}
	return nil
}

func goCommand(ctx context.Context, dir string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, "go", args...)
	command.Dir = dir
	out, err := command.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return "", fmt.Errorf("go %s: %w: %s", args[0], err, exit.Stderr)
	}
	return string(out), err
}
