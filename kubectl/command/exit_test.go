// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/klog/v2"
)

// A writerFunc is a writer.
type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// A signal ends the command without a text, and with the code of a shell, also with --exit-status:
// no executor has failed.
func TestInterrupted(t *testing.T) {
	for _, row := range []struct {
		args   string
		signal syscall.Signal
		code   int
	}{
		{"--demo -w", syscall.SIGINT, 130},
		{"--demo -w -o json", syscall.SIGTERM, 143},
		{"--demo spark-etl -w --until-ended", syscall.SIGINT, 130},
		{"--demo spark-etl -w --until-ended --exit-status", syscall.SIGINT, 130},
		{"--demo", syscall.SIGINT, exitOK}, // after the table
	} {
		t.Run(row.args, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			var errOut buffer
			interrupt := writerFunc(func(p []byte) (int, error) {
				cancel(Interrupted{row.signal})
				return len(p), nil
			})
			code := Run(ctx, strings.Fields(row.args), genericiooptions.IOStreams{Out: interrupt, ErrOut: &errOut})
			if code != row.code || errOut.String() != "" {
				t.Errorf("code %d and %q on stderr, want %d and nothing", code, errOut.String(), row.code)
			}
		})
	}
}

// A person does not wait for a server that does not answer.
func TestInterruptedStart(t *testing.T) {
	t.Setenv("KUBECONFIG", "/dev/null")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		connection, err := listener.Accept()
		if err == nil {
			defer func() { _ = connection.Close() }()
		}
		cancel(Interrupted{syscall.SIGINT})
		<-t.Context().Done()
	}()
	var out, errOut buffer
	code := Run(ctx, []string{"app-a", "-s", "http://" + listener.Addr().String()}, genericiooptions.IOStreams{Out: &out, ErrOut: &errOut})
	if code != 130 || out.String()+errOut.String() != "" {
		t.Errorf("code %d, %q and %q on stderr; want 130 and nothing", code, out.String(), errOut.String())
	}
}

// When the reader of a pipe has ended, the command ends without a text, as a program that SIGPIPE ends.
func TestBrokenPipe(t *testing.T) {
	for _, row := range []struct {
		args   string
		cause  syscall.Errno
		code   int
		errOut string
	}{
		{"--demo", syscall.EPIPE, 141, ""},
		{"--demo -o name", syscall.EPIPE, 141, ""},
		{"--demo -o json", syscall.EPIPE, 141, ""},
		{"--demo -o yaml", syscall.EPIPE, 141, ""},
		{"--demo -o jsonpath={.kind}", syscall.EPIPE, 141, ""},
		{"--demo -w", syscall.EPIPE, 141, ""},
		{"--demo spark-etl -w --until-ended --exit-status", syscall.EPIPE, 141, ""},
		{"version", syscall.EPIPE, 141, ""},
		{"--demo", syscall.ENOSPC, exitError, "error: write /dev/stdout: no space left on device\n"},
		{"--demo -w -o json", syscall.ENOSPC, exitError, "error: print a change: write /dev/stdout: no space left on device\n"},
	} {
		t.Run(row.args, func(t *testing.T) {
			broken := writerFunc(func([]byte) (int, error) {
				return 0, &os.PathError{Op: "write", Path: "/dev/stdout", Err: row.cause}
			})
			var errOut buffer
			code := Run(t.Context(), strings.Fields(row.args), genericiooptions.IOStreams{Out: broken, ErrOut: &errOut})
			if code != row.code || errOut.String() != row.errOut {
				t.Errorf("code %d and %q on stderr, want %d and %q", code, errOut.String(), row.code, row.errOut)
			}
		})
	}
}

// The log of the library and of client-go is on stderr with -v only.
func TestLog(t *testing.T) {
	var other buffer // what klog writes without a logger
	klog.LogToStderr(false)
	klog.SetOutput(&other)
	t.Cleanup(func() {
		klog.SetOutput(os.Stderr)
		klog.LogToStderr(true)
	})
	t.Setenv("KUBECONFIG", "/dev/null")
	args := []string{"app-a", "-s", "http://127.0.0.1:1", "--request-timeout=100ms"}
	_, _, silent := runCommand(t, args...)
	if strings.Count(silent, "\n") != 1 || !strings.HasPrefix(silent, "error: ") {
		t.Errorf("got %q, want the error only", silent)
	}
	klog.Error("an error of client-go")
	klog.Flush()
	if got := other.String(); got != "" {
		t.Errorf("klog wrote %q, want nothing", got)
	}
	_, out, log := runCommand(t, append(args, "-v=8")...)
	if out != "" || !strings.HasSuffix(log, silent) || !strings.Contains(log, `verb="GET" url="http://127.0.0.1:1`) {
		t.Errorf("with -v=8: got %q, want the request and the error", log)
	}
}
