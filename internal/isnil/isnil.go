// SPDX-License-Identifier: Apache-2.0

// Package isnil recognizes arguments that hold nothing.
package isnil

import "reflect"

// Value reports whether v is nil, or an interface that holds a nil pointer.
func Value(v any) bool {
	value := reflect.ValueOf(v)
	return !value.IsValid() || value.Kind() == reflect.Pointer && value.IsNil()
}
