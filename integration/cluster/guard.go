// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// guarded returns a script that runs a program and sees to it that the program
// does not outlive this process, however that ends: a test that panics, or a
// pager that is closed on its output, would leave servers behind otherwise. The words of
// prefix come before the program.
func guarded(dir, program string, prefix ...string) (string, error) {
	script := fmt.Sprintf(`#!/bin/sh
(while kill -0 $$; do kill -0 %d || kill $$; sleep 1; done) </dev/null >/dev/null 2>&1 &
exec %s "$@"
`, os.Getpid(), strings.Join(append(prefix, quoted(program)), " "))
	path := filepath.Join(dir, filepath.Base(program))
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		return "", fmt.Errorf("write script: %w", err)
	}
	return path, nil
}

func quoted(word string) string {
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
