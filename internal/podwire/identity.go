// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"bytes"
	"errors"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// An Identity says which pod in which state a list has.
type Identity struct {
	Namespace, Name string
	UID             types.UID
	ResourceVersion string
}

var errDamaged = errors.New("damaged protobuf")

// IsProtobuf reports whether an answer is in protobuf.
func IsProtobuf(body []byte) bool { return bytes.HasPrefix(body, magic) }

// ReadIdentities reads a list of pods, or of their metadata, in protobuf. It returns the kind of
// the list, and reads nothing else of the pods. The identities do not keep body in memory.
func ReadIdentities(body []byte) (kind string, list metav1.ListMeta, pods []Identity, err error) {
	raw, kind, ok := openAny(body)
	if !ok {
		return "", list, nil, errDamaged
	}
	for len(raw) > 0 {
		f, ok := raw.next()
		if !ok {
			return kind, list, nil, errDamaged
		}
		switch f.key() {
		case listMetadata:
			if err := list.Unmarshal(f.value); err != nil {
				return kind, list, nil, err
			}
		case listItems:
			pod, ok := identityOf(f.value)
			if !ok {
				return kind, list, nil, errDamaged
			}
			pods = append(pods, pod)
		}
	}
	return kind, list, pods, nil
}

// openAny returns the message in an envelope and its kind, whatever its API version.
func openAny(body []byte) (raw message, kind string, ok bool) {
	m := message(bytes.TrimPrefix(body, magic))
	for len(m) > 0 {
		f, ok := m.next()
		if !ok {
			return nil, "", false
		}
		switch f.key() {
		case unknownTypeMeta:
			_, of, ok := typeMeta(f.value)
			if !ok {
				return nil, "", false
			}
			kind = string(of)
		case unknownRaw:
			raw = f.value
		case unknownContentEncoding, unknownContentType:
			if len(f.value) > 0 {
				return nil, "", false
			}
		}
	}
	return raw, kind, true
}

// identityOf reads an item of a list.
func identityOf(item message) (Identity, bool) {
	var namespace, name, uid, version []byte
	for len(item) > 0 {
		f, ok := item.next()
		if !ok {
			return Identity{}, false
		}
		if f.key() != podMetadata { // of a PartialObjectMetadata it has the same number
			continue
		}
		for m := message(f.value); len(m) > 0; {
			f, ok := m.next()
			if !ok {
				return Identity{}, false
			}
			switch f.key() {
			case metaName:
				name = f.value
			case metaNamespace:
				namespace = f.value
			case metaUID:
				uid = f.value
			case metaResourceVersion:
				version = f.value
			}
		}
	}
	all := string(bytes.Join([][]byte{namespace, name, uid, version}, nil)) // in one allocation
	n, u, v := len(namespace), len(namespace)+len(name), len(namespace)+len(name)+len(uid)
	return Identity{Namespace: all[:n], Name: all[n:u], UID: types.UID(all[u:v]), ResourceVersion: all[v:]}, true
}
