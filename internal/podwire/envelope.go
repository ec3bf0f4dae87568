// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"bytes"

	"k8s.io/apimachinery/pkg/watch"

	"github.com/executorpods/watchsource/internal/podwire/protobuf"
)

// magic begins every object in protobuf, and is followed by a runtime.Unknown
// (apimachinery, pkg/runtime/serializer/protobuf).
var magic = []byte("k8s\x00")

// Fields of runtime.Unknown and runtime.TypeMeta (apimachinery,
// pkg/runtime/generated.proto).
const (
	unknownTypeMeta        = 1
	unknownRaw             = 2
	unknownContentEncoding = 3
	unknownContentType     = 4

	typeMetaAPIVersion = 1
	typeMetaKind       = 2
)

// open returns the message in an envelope and its kind. ok is false if the envelope is
// unusual, or not from the core group, version 1.
func open(data []byte) (raw, kind []byte, ok bool) {
	m, ok := bytes.CutPrefix(data, magic)
	if !ok || len(m) == 0 {
		return nil, nil, false
	}
	var version []byte
	var hasRaw, hasType bool
	for m := protobuf.Message(m); len(m) > 0; {
		f, ok := m.Next()
		if !ok || f.Kind != protobuf.BytesKind {
			return nil, nil, false
		}
		switch f.Number {
		case unknownTypeMeta:
			if hasType {
				return nil, nil, false
			}
			hasType = true
			if version, kind, ok = typeMeta(f.Value); !ok {
				return nil, nil, false
			}
		case unknownRaw:
			if hasRaw {
				return nil, nil, false
			}
			hasRaw = true
			raw = f.Value
		case unknownContentEncoding, unknownContentType:
			if len(f.Value) > 0 {
				return nil, nil, false
			}
		default:
			return nil, nil, false
		}
	}
	return raw, kind, hasRaw && string(version) == "v1"
}

func typeMeta(m protobuf.Message) (version, kind []byte, ok bool) {
	for len(m) > 0 {
		f, ok := m.Next()
		if !ok || f.Kind != protobuf.BytesKind {
			return nil, nil, false
		}
		switch f.Number {
		case typeMetaAPIVersion:
			version = f.Value
		case typeMetaKind:
			kind = f.Value
		default:
			return nil, nil, false
		}
	}
	return version, kind, true
}

// Fields of metav1.WatchEvent and runtime.RawExtension (apimachinery,
// pkg/apis/meta/v1/generated.proto and pkg/runtime/generated.proto).
const (
	watchEventType   = 1
	watchEventObject = 2

	rawExtensionRaw = 1
)

// event reads a frame of a watch. The object remains a part of the frame. ok is false if
// the frame is unusual.
func event(frame []byte) (kind watch.EventType, object []byte, ok bool) {
	m := protobuf.Message(frame)
	name, ok := m.Next()
	if !ok || name.Number != watchEventType || name.Kind != protobuf.BytesKind {
		return "", nil, false
	}
	extension, ok := m.Next()
	if !ok || extension.Number != watchEventObject || extension.Kind != protobuf.BytesKind || len(m) > 0 {
		return "", nil, false
	}
	m = protobuf.Message(extension.Value)
	raw, ok := m.Next()
	if !ok || raw.Number != rawExtensionRaw || raw.Kind != protobuf.BytesKind || len(m) > 0 {
		return "", nil, false
	}
	kind, ok = eventType(name.Value)
	return kind, raw.Value, ok
}

func eventType(name []byte) (watch.EventType, bool) {
	switch string(name) {
	case string(watch.Modified):
		return watch.Modified, true
	case string(watch.Added):
		return watch.Added, true
	case string(watch.Deleted):
		return watch.Deleted, true
	case string(watch.Bookmark):
		return watch.Bookmark, true
	case string(watch.Error):
		return watch.Error, true
	default:
		return "", false
	}
}
