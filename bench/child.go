// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// A child is a process that exchanges lines with its parent.
type child struct {
	name  string
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines *bufio.Scanner
}

// startChild runs this program again, with other arguments. It ends with ctx,
// and with its input, which ends with this process at the latest.
func startChild(ctx context.Context, name string, args ...string) (*child, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return startProgram(name, exec.CommandContext(ctx, program, args...))
}

func startProgram(name string, cmd *exec.Cmd) (*child, error) {
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return &child{name: name, cmd: cmd, in: in, lines: bufio.NewScanner(out)}, nil
}

// line returns the next line that the child says.
func (c *child) line() (string, error) {
	if c.lines.Scan() {
		return c.lines.Text(), nil
	}
	return "", fmt.Errorf("%s said nothing more: %w", c.name, c.end())
}

// awaitReady returns when the child has said that it is ready.
func (c *child) awaitReady() error {
	line, err := c.line()
	if err == nil && strings.TrimSpace(line) != readyLine {
		err = fmt.Errorf("%s said %q, not that it is ready", c.name, line)
	}
	return err
}

// result reads what the child says last.
func (c *child) result(into any) error {
	line, err := c.line()
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(line), into); err != nil {
		return fmt.Errorf("%s said %q: %w", c.name, line, err)
	}
	return nil
}

func (c *child) say(line string) error {
	_, err := fmt.Fprintln(c.in, line)
	return err
}

// hush ends the child's input.
func (c *child) hush() error { return c.in.Close() }

// end waits for the child.
func (c *child) end() error {
	if err := c.cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	return nil
}

// kill is for a child that is of no more use.
func (c *child) kill() {
	c.cmd.Process.Kill()
	c.cmd.Wait()
}
