// SPDX-License-Identifier: Apache-2.0

// Package envelope opens the messages that the API server puts around objects in protobuf: the
// envelope of an answer or of an object, and the event of a watch. The object remains a part of the
// message. The package refuses unusual envelopes, which client-go then opens.
package envelope

import (
	"bytes"

	"k8s.io/apimachinery/pkg/watch"

	"github.com/executorpods/watchsource/internal/podwire/protobuf"
)

// Magic begins every object in protobuf, and is followed by a runtime.Unknown
// (apimachinery, pkg/runtime/serializer/protobuf).
var Magic = []byte("k8s\x00")

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

// Open returns the message in an envelope and its kind. ok is false if the envelope is
// unusual, or not from the core group, version 1.
func Open(data []byte) (raw, kind []byte, ok bool) {
	m, ok := bytes.CutPrefix(data, Magic)
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

// OpenAny returns the message in an envelope and its kind, whatever its API version.
func OpenAny(body []byte) (raw protobuf.Message, kind string, ok bool) {
	m := protobuf.Message(bytes.TrimPrefix(body, Magic))
	for len(m) > 0 {
		f, ok := m.Next()
		if !ok {
			return nil, "", false
		}
		switch f.Key() {
		case unknownTypeMeta:
			_, of, ok := typeMeta(f.Value)
			if !ok {
				return nil, "", false
			}
			kind = string(of)
		case unknownRaw:
			raw = f.Value
		case unknownContentEncoding, unknownContentType:
			if len(f.Value) > 0 {
				return nil, "", false
			}
		}
	}
	return raw, kind, true
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

// Event reads a frame of a watch. The object remains a part of the frame. ok is false if
// the frame is unusual.
func Event(frame []byte) (kind watch.EventType, object []byte, ok bool) {
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
	kind, ok = EventType(name.Value)
	return kind, raw.Value, ok
}

// EventType returns the type of an event. ok is false if client-go does not know it.
func EventType(name []byte) (kind watch.EventType, ok bool) {
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
