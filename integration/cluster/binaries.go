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

// assetsVariable is envtest's: a folder that holds the programs already. With
// it the same tests run against another release of Kubernetes.
const assetsVariable = "KUBEBUILDER_ASSETS"

const (
	etcdModule       = "go.etcd.io/etcd/server/v3"
	kubernetesModule = "k8s.io/kubernetes"
)

// binaries are the paths of the programs.
type binaries struct {
	etcd      string
	apiserver string
}

func binariesIn(dir string) binaries {
	return binaries{etcd: filepath.Join(dir, "etcd"), apiserver: filepath.Join(dir, "kube-apiserver")}
}

// findBinaries returns the programs, and builds them if necessary. They are kept by
// version outside Go's build cache, which removes entries that were not used for five
// days.
func findBinaries(ctx context.Context, report func(string)) (binaries, error) {
	if dir := os.Getenv(assetsVariable); dir != "" {
		return binariesIn(dir), nil
	}
	etcdVersion, err := moduleVersion(ctx, etcdModule)
	if err != nil {
		return binaries{}, err
	}
	kubernetesVersion, err := moduleVersion(ctx, kubernetesModule)
	if err != nil {
		return binaries{}, err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return binaries{}, fmt.Errorf("find cache directory: %w", err)
	}
	dir := filepath.Join(cache, "watchsource-integration", "kubernetes-"+kubernetesVersion+"-etcd-"+etcdVersion)
	found := binariesIn(dir)
	if err := buildOnce(ctx, report, found.etcd, etcdModule, ""); err != nil {
		return binaries{}, err
	}
	if err := buildOnce(ctx, report, found.apiserver, kubernetesModule+"/cmd/kube-apiserver", stamp(kubernetesVersion)); err != nil {
		return binaries{}, err
	}
	return found, nil
}

// moduleVersion asks the go command, because it alone knows which version the
// go.mod of the current directory comes to.
func moduleVersion(ctx context.Context, module string) (string, error) {
	out, err := goCommand(ctx, "list", "-m", "-f", "{{.Version}}", module)
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
	major, rest, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
	minor, _, _ := strings.Cut(rest, ".")
	return fmt.Sprintf("-X %[1]s.gitVersion=%[2]s -X %[1]s.gitMajor=%[3]s -X %[1]s.gitMinor=%[4]s -X %[1]s.gitTreeState=clean",
		pkg, version, major, minor)
}

// buildOnce builds beside the target and renames, so that neither an
// interruption nor a second process ever leaves half a program in its place.
func buildOnce(ctx context.Context, report func(string), target, pkg, ldflags string) error {
	if _, err := os.Stat(target); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return fmt.Errorf("make cache directory: %w", err)
	}
	report(fmt.Sprintf("building %s, which takes minutes the first time and is kept in %s", filepath.Base(target), filepath.Dir(target)))
	scratch, err := os.MkdirTemp(filepath.Dir(target), "build-*")
	if err != nil {
		return fmt.Errorf("make build directory: %w", err)
	}
	defer os.RemoveAll(scratch)
	built := filepath.Join(scratch, filepath.Base(target))
	if _, err := goCommand(ctx, "build", "-ldflags", "-s -w "+ldflags, "-o", built, pkg); err != nil {
		return fmt.Errorf("build %s: %w", pkg, err)
	}
	return os.Rename(built, target)
}

func goCommand(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "go", args...).Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return "", fmt.Errorf("go %s: %w: %s", args[0], err, exit.Stderr)
	}
	return string(out), err
}
