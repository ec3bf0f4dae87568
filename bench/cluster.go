// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// integrationModule is where the command that runs a cluster is from.
const integrationModule = "../integration"

// A cluster is an etcd and a kube-apiserver, run by a command of the sibling
// module, whose dependencies would be too many for this one.
type cluster struct {
	process    *child
	kubeconfig string
}

// findCluster starts a cluster and sets kubeconfig, unless it names a cluster.
func findCluster(ctx context.Context, kubeconfig *string, dir string, progress io.Writer) (stop func(), err error) {
	if *kubeconfig != "" {
		return func() {}, nil
	}
	c, err := startCluster(ctx, dir, progress)
	if err != nil {
		return nil, err
	}
	*kubeconfig = c.kubeconfig
	return c.stop, nil
}

// startCluster builds the command first, because "go run" does not pass a signal to its
// child.
func startCluster(ctx context.Context, dir string, progress io.Writer) (*cluster, error) {
	program, err := buildProgram(ctx, dir, "./cmd/apiserver")
	if err != nil {
		return nil, err
	}
	kubeconfig := filepath.Join(dir, "cluster.kubeconfig")
	command := exec.Command(program, "-kubelet=false", "-kubeconfig", kubeconfig)
	command.Dir = integrationModule // it looks up versions in the go.mod there
	process, err := startProgram("cluster", command)
	if err != nil {
		return nil, err
	}
	c := &cluster{process: process, kubeconfig: kubeconfig}
	for {
		line, err := process.line()
		if err != nil {
			return nil, err
		}
		fmt.Fprintln(progress, line)
		if strings.Contains(line, kubeconfig) {
			return c, nil
		}
	}
}

// buildProgram builds a command of the module integration.
func buildProgram(ctx context.Context, dir, pkg string) (string, error) {
	program := filepath.Join(dir, filepath.Base(pkg))
	build := exec.CommandContext(ctx, "go", "build", "-C", integrationModule, "-o", program, pkg)
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return "", fmt.Errorf("build %s in the folder %s: %w", pkg, integrationModule, err)
	}
	return program, nil
}

func (c *cluster) stop() {
	c.process.cmd.Process.Signal(os.Interrupt)
	for {
		if _, err := c.process.line(); err != nil { // it has ended
			return
		}
	}
}
