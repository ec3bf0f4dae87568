// SPDX-License-Identifier: Apache-2.0

// Package emulator is a terminal for tests, safe for concurrent use.
package emulator

import (
	"io"
	"strings"
	"sync"

	uv "github.com/charmbracelet/ultraviolet"
	"github.com/charmbracelet/x/vt"
)

// A Terminal shows what a program writes to it. Reading from it returns the keys that were
// typed, and its answers to the program's questions.
type Terminal struct {
	mu       sync.Mutex
	emulator *vt.Emulator // mu guards all but its input
}

// New returns an empty terminal.
func New(width, height int) *Terminal {
	return &Terminal{emulator: vt.NewEmulator(width, height)}
}

// Write implements io.Writer. It may wait until the program reads the answer to a question.
func (t *Terminal) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.emulator.Write(p)
}

// Read implements io.Reader.
func (t *Terminal) Read(p []byte) (int, error) { return t.emulator.Read(p) }

// Type types keys. It returns when the program has read them.
func (t *Terminal) Type(keys string) { t.emulator.SendText(keys) }

// Close ends the input of the program.
func (t *Terminal) Close() error { return t.emulator.InputPipe().(io.Closer).Close() }

// Resize changes the size.
func (t *Terminal) Resize(width, height int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.emulator.Resize(width, height)
}

// Alternate reports whether the terminal shows its alternate screen.
func (t *Terminal) Alternate() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.emulator.IsAltScreen()
}

// String returns the text of the screen, without blanks at the ends of the lines.
func (t *Terminal) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.Split(t.emulator.String(), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " ")
	}
	return strings.Join(lines, "\n") + "\n"
}

// Width returns the number of columns.
func (t *Terminal) Width() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.emulator.Width()
}

// Height returns the number of lines.
func (t *Terminal) Height() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.emulator.Height()
}

// CellAt returns a cell, or nil. The next Write may change the cell.
func (t *Terminal) CellAt(x, y int) *uv.Cell {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.emulator.CellAt(x, y)
}
