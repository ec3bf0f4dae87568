// SPDX-License-Identifier: Apache-2.0

package watchsource

import "sync/atomic"

// A callee is code of the user that a goroutine of the library is calling.
type callee int32

const (
	nothing callee = iota
	theStore
	theObserver
)

var calleeNames = [...]string{nothing: "the client", theStore: "a call of the store", theObserver: "a call of the observer"}

// String returns what a goroutine waits for that is calling the callee. With nothing to
// call it waits for the client.
func (c callee) String() string { return calleeNames[c] }

// inUserCode says which code of the user one goroutine is calling. Any goroutine may read it.
type inUserCode struct{ callee atomic.Int32 }

func (u *inUserCode) enter(c callee) { u.callee.Store(int32(c)) }
func (u *inUserCode) leave()         { u.callee.Store(int32(nothing)) }
func (u *inUserCode) now() callee    { return callee(u.callee.Load()) }
