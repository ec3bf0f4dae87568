// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// KillAPIServer ends the API server as a crash does. StartAPIServer brings it
// back.
func (c *Cluster) KillAPIServer(ctx context.Context) error {
	if err := kill(ctx, c.plane.APIServer.CertDir); err != nil {
		return fmt.Errorf("kill API server: %w", err)
	}
	return nil
}

// PauseAPIServer makes the API server stand still, with all its connections
// open, until resume is called or this process has ended.
func (c *Cluster) PauseAPIServer(ctx context.Context) (resume func() error, err error) {
	pid, err := childWith(ctx, c.plane.APIServer.CertDir)
	if err != nil {
		return nil, fmt.Errorf("pause API server: %w", err)
	}
	// A stopped process ignores the signal by which its guard would end it.
	waker := exec.Command("sh", "-c", fmt.Sprintf("while kill -0 %d; do sleep 1; done; kill -CONT %d", os.Getpid(), pid))
	if err := waker.Start(); err != nil {
		return nil, fmt.Errorf("pause API server: %w", err)
	}
	resume = func() error {
		err := syscall.Kill(pid, syscall.SIGCONT)
		_ = waker.Process.Kill()
		_ = waker.Wait() // says only that it was killed
		if err != nil {
			return fmt.Errorf("resume API server: %w", err)
		}
		return nil
	}
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return nil, errors.Join(fmt.Errorf("pause API server: %w", err), resume())
	}
	return resume, nil
}

// kill ends the child with an argument and returns when nothing is left of it.
func kill(ctx context.Context, argument string) error {
	pid, err := childWith(ctx, argument)
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return err
	}
	return wait.PollUntilContextTimeout(ctx, 5*time.Millisecond, stopTimeout, true, func(context.Context) (bool, error) {
		return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH), nil
	})
}

// childWith returns the child of this process that has argument, a path that is
// no other's, in its command line. Package envtest does not tell.
func childWith(ctx context.Context, argument string) (pid int, err error) {
	out, err := exec.CommandContext(ctx, "ps", "-A", "-ww", "-o", "pid=,ppid=,args=").Output()
	if err != nil {
		return 0, fmt.Errorf("list processes: %w", err)
	}
	self := strconv.Itoa(os.Getpid())
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) > 2 && fields[1] == self && strings.Contains(line, argument) {
			return strconv.Atoi(fields[0])
		}
	}
	return 0, fmt.Errorf("no child process has %s in its arguments", argument)
}
