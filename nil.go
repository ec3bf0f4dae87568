// SPDX-License-Identifier: Apache-2.0

package watchsource

import "reflect"

func isNil(v any) bool {
	value := reflect.ValueOf(v)
	return !value.IsValid() || value.Kind() == reflect.Pointer && value.IsNil()
}
