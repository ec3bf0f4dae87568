// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// assetsVariable is envtest's: a directory that has etcd and kube-apiserver already.
const assetsVariable = "KUBEBUILDER_ASSETS"

// installedBinaries returns the programs of the directory that assetsVariable names. It runs each once, so
// that a directory without them, or with programs for another machine, is an error at once.
func installedBinaries(ctx context.Context, dir string) (binaries, error) {
	path, err := filepath.Abs(dir) // the programs start in other directories
	if err != nil {
		return binaries{}, err
	}
	found := binaries{etcd: filepath.Join(path, "etcd"), apiserver: filepath.Join(path, "kube-apiserver")}
	var problems []string
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		problems = append(problems, path+" is not a directory")
	} else {
		for _, program := range []string{found.etcd, found.apiserver} {
			if err := exec.CommandContext(ctx, program, "--version").Run(); err != nil {
				problems = append(problems, fmt.Sprintf("%s does not run: %v", program, err))
			}
		}
	}
	if len(problems) > 0 {
		return binaries{}, fmt.Errorf("%s: %s; it must name a directory with etcd and kube-apiserver, and without it they are built",
			assetsVariable, strings.Join(problems, "; "))
	}
	return found, nil
}
