// SPDX-License-Identifier: Apache-2.0

package protobuf

// Fields of the entries of maps.
const (
	MapKey   = 1
	MapValue = 2
)

// MapEntry reads an entry of a map of strings.
func MapEntry(m Message) (key, value []byte) {
	if key, value, ok := shortEntry(m); ok {
		return key, value
	}
	for len(m) > 0 {
		f, ok := m.Next()
		if !ok {
			break
		}
		switch f.Key() {
		case MapKey:
			key = f.Value
		case MapValue:
			value = f.Value
		}
	}
	return key, value
}

// shortEntry reads an entry as the API server writes it, of a key and a value of less than 128 bytes.
func shortEntry(m Message) (key, value []byte, ok bool) {
	if len(m) < 4 || m[0] != MapKey<<3|BytesKind || m[1] >= 0x80 || int(m[1])+4 > len(m) {
		return nil, nil, false
	}
	key, m = m[2:2+m[1]], m[2+m[1]:]
	if m[0] != MapValue<<3|BytesKind || m[1] >= 0x80 || int(m[1])+2 != len(m) {
		return nil, nil, false
	}
	return key, m[2:], true
}

// EntryOf returns the value of a key in a map. The map is the field with the number in a valid
// message. If the key occurs twice, the last value counts.
func EntryOf(m Message, number int32, key string) (value []byte, ok bool) {
	for len(m) > 0 {
		f, valid := m.Next()
		if !valid {
			break
		}
		if f.Key() != number {
			continue
		}
		if of, is := MapEntry(f.Value); string(of) == key {
			value, ok = is, true
		}
	}
	return value, ok
}
