// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/executorpods/watchsource/integration/cluster"
	"k8s.io/client-go/tools/clientcmd"
)

// reserve creates the file of -kubeconfig, so that a path that cannot be written is an error before the
// server is built and started. It leaves a file alone that this command has not written: the command
// replaces the file, and removes it at the end.
func reserve(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("-kubeconfig: %w", err)
	}
	config, err := clientcmd.LoadFromFile(path)
	if err == nil && len(config.Clusters) > 0 && config.Clusters[cluster.Name] == nil || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("-kubeconfig: %s is there already and is not of this command, which would remove it; name another file", path)
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("-kubeconfig: %w", err)
	}
	return file.Close()
}
