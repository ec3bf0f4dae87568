// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"errors"
	"fmt"
	"reflect"
	"sync"

	"github.com/executorpods/watchsource/internal/isnil"
)

// ErrStoreInUse is the error of Start if another source that is started feeds the
// store, or a store in its Tee. Each source needs its own store, because the list of
// one source would remove the executors of the other.
var ErrStoreInUse = errors.New("watchsource: another started source feeds the store, use one store for each source")

// A claim is the right of one session to feed its store, and each store of a Tee.
type claim struct {
	// Fixed.
	appID string
	store any
}

// claims guards which session feeds each store. It is a variable of the package because
// two sources with one store have nothing but the store in common, and one lock for all
// stores lets a session take all stores of a Tee or none.
//
// A Store notes its claim itself. A user's store has no place for that, so ofUsers has
// an entry while the session runs. The session holds the store anyway, so the map keeps no
// store in memory.
var claims = struct {
	sync.Mutex // also guards Store.claimed
	ofUsers    map[storeID]*claim
}{ofUsers: map[storeID]*claim{}}

// take takes the stores, or none of them if another session feeds one.
func (c *claim) take() error {
	claims.Lock()
	defer claims.Unlock()
	if other := claimOf(c.store); other != nil {
		return fmt.Errorf("%w (the other source watches application %q)", ErrStoreInUse, other.appID)
	}
	passClaim(c.store, nil, c)
	return nil
}

// release makes the stores free.
func (c *claim) release() {
	claims.Lock()
	defer claims.Unlock()
	passClaim(c.store, c, nil)
}

// A claimable store knows the claim on it. A type that embeds a Store has the methods of that
// Store. The caller holds claims.
type claimable interface {
	claimedBy() *claim         // nil if the store is free
	passClaim(from, to *claim) // changes the claim if it is from
}

// claimOf returns the claim on a store, or nil.
func claimOf(store any) *claim {
	if own, ok := asClaimable(store); ok {
		return own.claimedBy()
	}
	return claims.ofUsers[storeIDOf(store)]
}

// passClaim changes the claim on a store if it is from.
func passClaim(store any, from, to *claim) {
	if own, ok := asClaimable(store); ok {
		own.passClaim(from, to)
		return
	}
	id := storeIDOf(store)
	switch {
	case id == storeID{}, claims.ofUsers[id] != from:
	case to == nil:
		delete(claims.ofUsers, id)
	default:
		claims.ofUsers[id] = to
	}
}

// asClaimable returns false for a nil pointer, which may embed a Store.
func asClaimable(store any) (claimable, bool) {
	if isnil.Value(store) {
		return nil, false
	}
	own, ok := store.(claimable)
	return own, ok
}

// A storeID identifies a user's store. Both fields are zero if the store cannot be
// distinguished from others.
type storeID struct {
	dynamic reflect.Type
	pointer uintptr
}

// storeIDOf identifies a store by its pointer. Equal values of other kinds may be
// different stores, and so may equal pointers to values without a size.
func storeIDOf(store any) storeID {
	v := reflect.ValueOf(store)
	switch v.Kind() {
	case reflect.Map, reflect.Chan:
	case reflect.Pointer:
		if v.Type().Elem().Size() == 0 {
			return storeID{}
		}
	default:
		return storeID{}
	}
	if v.IsNil() {
		return storeID{}
	}
	return storeID{v.Type(), v.Pointer()}
}
