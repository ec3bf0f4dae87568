// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bufio"
	"errors"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/executorpods/watchsource"
	"k8s.io/client-go/tools/clientcmd"
)

// The command starts a server on which pods run, and leaves nothing of it when
// it is interrupted, not even with a watch open.
func TestCommandAPIServer(t *testing.T) {
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	command := exec.CommandContext(t.Context(), buildProgram(t, ".", "./cmd/apiserver"), "-kubeconfig", kubeconfig)
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.Stderr = os.Stderr
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	readUntil(t, bufio.NewScanner(output), "Ctrl-C")

	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	w := newConsumer(t, "example", config, "default")
	create(t, newClient(t, config), executorPod("default", appID, 1))
	w.waitFor(t, "the pod run", func(s watchsource.Snapshot) bool { return s.Count(watchsource.Running) == 1 })

	if err := command.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := command.Wait(); err != nil {
		t.Errorf("interrupted, the command ended with: %v", err)
	}
	if _, err := os.Stat(kubeconfig); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the kubeconfig is still there: %v", err)
	}
	address, err := url.Parse(config.Host)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := net.Dial("tcp", address.Host); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("connecting to the server that was stopped: %v", err)
	}
}

func readUntil(t *testing.T, lines *bufio.Scanner, word string) {
	t.Helper()
	for lines.Scan() {
		t.Log(lines.Text())
		if strings.Contains(lines.Text(), word) {
			return
		}
	}
	t.Fatalf("the output ended without %q", word)
}
