// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of /proc/PID/stat (USER_HZ).
const clockTick = 10 * time.Millisecond

// localServer returns the process id of the API server of a kubeconfig, 0 if it does not run on
// this machine. It looks for a process with the server's port among its arguments.
func localServer(kubeconfig string) (int, error) {
	config, err := loadConfig(kubeconfig)
	if err != nil {
		return 0, err
	}
	address, err := url.Parse(config.Host)
	if err != nil {
		return 0, err
	}
	argument := []byte("--secure-port=" + address.Port() + "\x00")
	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return 0, err
	}
	for _, path := range processes {
		arguments, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(arguments, argument) || bytes.HasPrefix(arguments, []byte("/bin/sh\x00")) {
			continue
		}
		return strconv.Atoi(filepath.Base(filepath.Dir(path)))
	}
	return 0, nil
}

// processCPU returns the user and system time of a process, 0 for process 0.
func processCPU(pid int) (time.Duration, error) {
	if pid == 0 {
		return 0, nil
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The second field is the name, in parentheses. The 14th and 15th are the times.
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	var ticks int64
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/%d/stat: %w", pid, err)
		}
		ticks += n
	}
	return time.Duration(ticks) * clockTick, nil
}
