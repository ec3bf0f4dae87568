// SPDX-License-Identifier: Apache-2.0

// Package caught carries a panic from the goroutine in which it was caught to another one.
package caught

import (
	"fmt"
	"runtime/debug"
)

// A Panic is a panic of a client, a store or an observer, and the stack of the goroutine in which
// it was caught.
type Panic struct {
	Value any
	Stack []byte
}

func (p *Panic) Error() string { return fmt.Sprintf("%v\n\n%s", p.Value, p.Stack) }

// Of returns the panic for a value of recover, nil for nil.
func Of(recovered any) *Panic {
	switch r := recovered.(type) {
	case nil:
		return nil
	case *Panic:
		return r
	default:
		return &Panic{Value: r, Stack: debug.Stack()}
	}
}
