// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
)

// The exit codes. With --exit-status an error has another code than a failed executor, as
// with kubectl diff. After a signal the code is the one of a shell, 128 and its number.
const (
	exitOK         = 0
	exitError      = 1
	exitFailed     = 1
	exitOtherError = 2
	exitSignal     = 128
)

// errFailed means that an executor has failed, with --exit-status.
var errFailed = errors.New("an executor has failed")

// A usageError means that the command line is wrong.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// usagef returns a usageError.
func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// Interrupted is the cause of a context that a signal has ended.
type Interrupted struct{ Signal syscall.Signal }

// Error names the signal.
func (i Interrupted) Error() string { return "interrupted: " + i.Signal.String() }

// interruption returns the Interrupted that has ended ctx, or nil.
func interruption(ctx context.Context) error {
	if interrupted, ok := errors.AsType[Interrupted](context.Cause(ctx)); ok {
		return interrupted
	}
	return nil
}

// exitCode returns the code for the outcome of a call, and prints the error. It prints nothing
// after a signal, or if the reader of a pipe has ended.
func (o *options) exitCode(ctx context.Context, err error, errOut io.Writer) int {
	interrupted, isInterrupted := errors.AsType[Interrupted](interruption(ctx))
	_, isUsage := errors.AsType[usageError](err)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errFailed):
		return exitFailed // the summary has said so
	case isInterrupted:
		return exitSignal + int(interrupted.Signal)
	case errors.Is(err, syscall.EPIPE):
		return exitSignal + int(syscall.SIGPIPE)
	case isUsage:
		fmt.Fprintf(errOut, "error: %v\nSee 'kubectl executors --help' for usage.\n", err)
	default:
		fmt.Fprintln(errOut, "error:", err)
	}
	if o.exitStatus {
		return exitOtherError
	}
	return exitError
}
