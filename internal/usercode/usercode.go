// SPDX-License-Identifier: Apache-2.0

// Package usercode notes which code of the user a goroutine is calling, so that the log can
// name it if the call does not return.
package usercode

import "sync/atomic"

// A Callee is code of the user.
type Callee int32

const (
	None Callee = iota
	Store
	Observer
)

var names = [...]string{None: "the client", Store: "a call of the store", Observer: "a call of the observer"}

// String returns what a goroutine waits for that is calling the callee. If it calls none, it
// waits for the client.
func (c Callee) String() string { return names[c] }

// A Mark says what one goroutine is calling. Any goroutine may read it. The zero Mark says that
// it is calling nothing.
type Mark struct{ callee atomic.Int32 }

// Enter marks the beginning of a call.
func (m *Mark) Enter(c Callee) { m.callee.Store(int32(c)) }

// Leave marks the end of a call.
func (m *Mark) Leave() { m.callee.Store(int32(None)) }

// Now returns the code that the goroutine is calling.
func (m *Mark) Now() Callee { return Callee(m.callee.Load()) }

// A Turn lets several goroutines call user code one after the other.
type Turn struct {
	// token holds an element while a goroutine has the turn. A mutex would stop the clock of a synctest bubble.
	token chan struct{}
	// broken is set while user code is called, and stays set if it does not return. Owned by the
	// goroutine that has the turn.
	broken bool
}

// NewTurn returns a turn that no goroutine has.
func NewTurn() *Turn { return &Turn{token: make(chan struct{}, 1)} }

// Take calls user code when no other goroutine does. After a call that has not returned it calls
// nothing any more.
func (t *Turn) Take(code func()) {
	t.token <- struct{}{}
	defer func() { <-t.token }()
	if t.broken {
		return
	}
	t.broken = true
	code()
	t.broken = false
}
