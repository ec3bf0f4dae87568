// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// program is the path of the program.
var program string

// TestMain builds the program once for all tests.
func TestMain(m *testing.M) {
	directory, err := os.MkdirTemp("", "kubectl-executors")
	if err != nil {
		log.Fatal(err)
	}
	program = filepath.Join(directory, "kubectl-executors")
	output, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput()
	code := 1
	if err != nil {
		log.Printf("build: %v\n%s", err, output)
	} else {
		code = m.Run()
	}
	_ = os.RemoveAll(directory)
	os.Exit(code)
}

// A process is the program without a terminal.
type process struct {
	cmd    *exec.Cmd
	out    *os.File // the read end of its standard output
	errOut bytes.Buffer
}

// startProcess starts the program with an empty home and without a kubeconfig.
func startProcess(t *testing.T, args ...string) *process {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.CommandContext(t.Context(), program, args...), out: read}
	p.cmd.Env = []string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}
	p.cmd.Stdout, p.cmd.Stderr = write, &p.errOut
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = write.Close()
	t.Cleanup(func() { _ = read.Close() })
	return p
}

// wait waits until the process has ended, and returns its state.
func (p *process) wait(t *testing.T) syscall.WaitStatus {
	t.Helper()
	_ = p.cmd.Wait() // its error is in the state
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok {
		t.Fatalf("the state of the process is a %T, want a WaitStatus", p.cmd.ProcessState.Sys())
	}
	return status
}

// firstLine reads the first line of the output.
func (p *process) firstLine(t *testing.T) string {
	t.Helper()
	line, err := bufio.NewReaderSize(p.out, 16).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return line
}

// A reader that ends, as head does, ends the program silently.
func TestPipeCloses(t *testing.T) {
	p := startProcess(t, "-demo", "-w")
	if line := p.firstLine(t); !strings.Contains(line, "-exec-1") {
		t.Errorf("got the line %q, want an executor", line)
	}
	_ = p.out.Close()
	if status := p.wait(t); !status.Signaled() || status.Signal() != syscall.SIGPIPE || p.errOut.String() != "" {
		t.Errorf("ended with %v and %q on stderr, want SIGPIPE and nothing", status, p.errOut.String())
	}
}

func TestSignals(t *testing.T) {
	for _, row := range []struct {
		signal syscall.Signal
		args   []string
		code   int
	}{
		{syscall.SIGINT, []string{"-demo", "-w"}, 130},
		{syscall.SIGTERM, []string{"-demo", "-w", "-o", "json"}, 143},
		{syscall.SIGINT, []string{"-demo", "spark-demo", "-w", "--until-ended", "--exit-status"}, 130},
	} {
		p := startProcess(t, row.args...)
		p.firstLine(t)
		if err := p.cmd.Process.Signal(row.signal); err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, p.out)
		if status := p.wait(t); !status.Exited() || status.ExitStatus() != row.code || p.errOut.String() != "" {
			t.Errorf("%v: ended with %v and %q on stderr, want the code %d and nothing", row.args, status, p.errOut.String(), row.code)
		}
	}
}

// Without $KUBECONFIG the home is looked at, and on a machine that is no pod nothing else.
func TestNoKubeconfigAtHome(t *testing.T) {
	p := startProcess(t, "app-a")
	status := p.wait(t)
	home := strings.TrimPrefix(p.cmd.Env[0], "HOME=")
	want := "error: no kubeconfig was found. These places were looked at:\n  " + filepath.Join(home, ".kube", "config") + ": does not exist\n"
	if !strings.HasPrefix(p.errOut.String(), want) || status.ExitStatus() != 1 {
		t.Errorf("code %d and %q, want 1 and %q", status.ExitStatus(), p.errOut.String(), want)
	}
}
