// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"reflect"

	"github.com/executorpods/watchsource/internal/isnil"
)

// An ownStore is a Store, or embeds one and has its methods.
type ownStore interface{ own() *Store }

// storeIDs returns values that identify the stores that a store passes its calls to: those in a
// Tee, a Store that is embedded, or the store. A store that cannot be distinguished from others
// has none.
func storeIDs(store SnapshotsStore) []any {
	if isnil.Value(store) { // a nil pointer may embed a Store
		return nil
	}
	switch s := store.(type) {
	case tee:
		var ids []any
		for _, one := range s {
			ids = append(ids, storeIDs(one)...)
		}
		return ids
	case ownStore:
		if own := s.own(); own != nil {
			return []any{own}
		}
		return nil
	default:
		if id := storeIDOf(store); id != (storeID{}) {
			return []any{id}
		}
		return nil
	}
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
