// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"fmt"
	"reflect"
	"sync"
)

// feeders guards which session feeds each store. It is a variable of the package because
// two sources with one store have nothing but the store in common, and one lock for all
// stores lets a session take all stores of a Tee or none.
//
// A Store notes its session itself. A user's store has no place for that, so ofUsers has
// an entry while the session runs. The session holds the store anyway, so the map keeps no
// store in memory.
var feeders = struct {
	sync.Mutex // also guards Store.feeder
	ofUsers    map[storeID]*session
}{ofUsers: map[storeID]*session{}}

// claim takes the stores of a session, or none of them if another session feeds one.
func (s *session) claim() error {
	feeders.Lock()
	defer feeders.Unlock()
	if other := feederOf(s.source.store); other != nil {
		return fmt.Errorf("%w (the other source watches application %q)", ErrStoreInUse, other.appID)
	}
	passFeeder(s.source.store, nil, s)
	return nil
}

// release makes the stores of a session free.
func (s *session) release() {
	feeders.Lock()
	defer feeders.Unlock()
	passFeeder(s.source.store, s, nil)
}

// A fedStore knows the session that feeds it. A type that embeds a Store has the methods
// of that Store. The caller holds feeders.
type fedStore interface {
	fedBy() *session              // nil if the store is free
	passFeeder(from, to *session) // changes the session if it is from
}

// A storeID identifies a user's store. Both fields are zero if the store cannot be
// distinguished from others.
type storeID struct {
	dynamic reflect.Type
	pointer uintptr
}

// storeIDOf identifies a store by its pointer. Equal values of other kinds may be
// different stores, and so may equal pointers to values without a size.
func storeIDOf(store SnapshotsStore) storeID {
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

// feederOf returns the session that feeds a store, or nil.
func feederOf(store SnapshotsStore) *session {
	if fed, ok := asFedStore(store); ok {
		return fed.fedBy()
	}
	return feeders.ofUsers[storeIDOf(store)]
}

// passFeeder changes the session that feeds a store if it is from.
func passFeeder(store SnapshotsStore, from, to *session) {
	if fed, ok := asFedStore(store); ok {
		fed.passFeeder(from, to)
		return
	}
	id := storeIDOf(store)
	switch {
	case id == storeID{}, feeders.ofUsers[id] != from:
	case to == nil:
		delete(feeders.ofUsers, id)
	default:
		feeders.ofUsers[id] = to
	}
}

// asFedStore returns false for a nil pointer, which may embed a Store.
func asFedStore(store SnapshotsStore) (fedStore, bool) {
	if isNil(store) {
		return nil, false
	}
	fed, ok := store.(fedStore)
	return fed, ok
}
