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
	if content, err := os.ReadFile(path); !errors.Is(err, fs.ErrNotExist) && (err != nil || !isOwn(content)) {
		return fmt.Errorf("-kubeconfig: %s is there already and is not of this command, which would remove it; name another file", path)
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("-kubeconfig: %w", err)
	}
	return file.Close()
}

// isOwn reports whether a file was written by this command, or is empty, as reserve makes it.
func isOwn(content []byte) bool {
	if len(content) == 0 {
		return true
	}
	config, err := clientcmd.Load(content)
	return err == nil && len(config.Clusters) == 1 && config.Clusters[cluster.Name] != nil
}
