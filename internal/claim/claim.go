// SPDX-License-Identifier: Apache-2.0

// Package claim lets one source at a time feed a store.
package claim

import (
	"reflect"
	"sync"
)

// A Claim is the right of one session to feed its stores.
type Claim struct {
	// AppID is the application that the session watches.
	AppID string
	// Stores identify the stores, by comparable values.
	Stores []any
}

// claims has the claim on each store while its session runs. It is a variable of the package
// because two sources with one store have nothing but the store in common. One lock for all
// stores lets a session take all its stores or none. The session holds its stores anyway, so the
// map keeps no store in memory.
var claims = struct {
	sync.Mutex
	of map[any]*Claim
}{of: map[any]*Claim{}}

// Take takes the stores. If there is a claim on one of them, it takes none and returns that claim.
func (c *Claim) Take() (other *Claim) {
	claims.Lock()
	defer claims.Unlock()
	for _, store := range c.Stores {
		if other := claims.of[store]; other != nil {
			return other
		}
	}
	for _, store := range c.Stores {
		claims.of[store] = c
	}
	return nil
}

// Release makes the stores free. It does nothing if Take has failed.
func (c *Claim) Release() {
	claims.Lock()
	defer claims.Unlock()
	for _, store := range c.Stores {
		if claims.of[store] == c {
			delete(claims.of, store)
		}
	}
}

// An id identifies a value by its pointer.
type id struct {
	dynamic reflect.Type
	pointer uintptr
}

// IDsOf returns a value that identifies a store by its pointer, or none. Equal values of other
// kinds may be different stores, and so may equal pointers to values without a size.
func IDsOf(store any) []any {
	v := reflect.ValueOf(store)
	switch v.Kind() {
	case reflect.Map, reflect.Chan:
	case reflect.Pointer:
		if v.Type().Elem().Size() == 0 {
			return nil
		}
	default:
		return nil
	}
	if v.IsNil() {
		return nil
	}
	return []any{id{v.Type(), v.Pointer()}}
}
