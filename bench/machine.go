// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// A machine is where and with what figures were made.
type machine struct {
	CPU        string `json:"cpu"`
	Cores      int    `json:"cores"`
	Go         string `json:"go"`
	ClientGo   string `json:"clientGo"`
	Controller string `json:"controllerRuntime"`
	Date       string `json:"date"`
}

func thisMachine() machine {
	return machine{
		CPU:        processor(),
		Cores:      runtime.NumCPU(),
		Go:         runtime.Version(),
		ClientGo:   moduleVersion("k8s.io/client-go"),
		Controller: moduleVersion("sigs.k8s.io/controller-runtime"),
		Date:       time.Now().UTC().Format(time.DateOnly),
	}
}

func (m machine) String() string {
	return fmt.Sprintf("%s, %d cores, %s, client-go %s, controller-runtime %s, %s", m.CPU, m.Cores, m.Go, m.ClientGo, m.Controller, m.Date)
}

func processor() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(info)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func moduleVersion(path string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, module := range info.Deps {
		if module.Path == path {
			return module.Version
		}
	}
	return "unknown"
}
