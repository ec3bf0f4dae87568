// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// A process is a program that is started with the same arguments each time.
type process struct {
	name    string
	command func() *exec.Cmd
	ready   func(context.Context) bool

	running *exec.Cmd // nil if it is not
	exited  chan error
}

// start returns when the program is ready.
func (p *process) start(ctx context.Context) error {
	command := p.command()
	if command.SysProcAttr == nil {
		command.SysProcAttr = new(syscall.SysProcAttr)
	}
	command.SysProcAttr.Setpgid = true // a Ctrl-C is for the tests
	if err := command.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	p.running, p.exited = command, make(chan error, 1)
	go func(exited chan error) { exited <- command.Wait() }(p.exited)
	err := wait.PollUntilContextTimeout(ctx, 20*time.Millisecond, startTimeout, true, func(ctx context.Context) (bool, error) {
		select {
		case err := <-p.exited:
			p.running = nil
			return false, errors.Join(errors.New("it has ended"), err)
		default:
			return p.ready(ctx), nil
		}
	})
	if err != nil {
		return errors.Join(fmt.Errorf("start %s: %w", p.name, err), p.end(syscall.SIGKILL))
	}
	return nil
}

// end sends the signal and returns when the program has ended.
func (p *process) end(signal syscall.Signal) error {
	if p.running == nil {
		return nil
	}
	if err := p.running.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("end %s: %w", p.name, err)
	}
	select {
	case <-p.exited: // how does not matter
	case <-time.After(stopTimeout):
		_ = p.running.Process.Kill()
		return fmt.Errorf("end %s: not within %v", p.name, stopTimeout)
	}
	p.running = nil
	return nil
}

// freeAddress returns an address of the loopback interface at which nothing listens.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// listens reports whether something does at address.
func listens(ctx context.Context, address string) bool {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	return conn.Close() == nil
}
