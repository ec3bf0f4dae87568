// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"bytes"
	"errors"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/executorpods/watchsource/internal/podwire/envelope"
	"github.com/executorpods/watchsource/internal/podwire/protobuf"
)

// An Identity has the names of a pod and the resource version of its state.
type Identity struct {
	Namespace, Name string
	UID             types.UID
	ResourceVersion string
}

// Key identifies the pod: its UID, or its namespace and name if it has no UID, as with client-go's
// fake clientset.
func (i Identity) Key() types.UID {
	if i.UID != "" {
		return i.UID
	}
	return types.UID(i.Namespace + "/" + i.Name)
}

// NamespacedName returns the names of the pod, for the log.
func (i Identity) NamespacedName() types.NamespacedName {
	return types.NamespacedName{Namespace: i.Namespace, Name: i.Name}
}

var errDamaged = errors.New("damaged protobuf")

// IsProtobuf reports whether an answer is in protobuf.
func IsProtobuf(body []byte) bool { return bytes.HasPrefix(body, envelope.Magic) }

// ReadIdentities reads a list of pods, or of their metadata, in protobuf. It returns the kind of
// the list, and reads nothing else of the pods. The identities do not keep body in memory.
func ReadIdentities(body []byte) (kind string, list metav1.ListMeta, pods []Identity, err error) {
	raw, kind, ok := envelope.OpenAny(body)
	if !ok {
		return "", list, nil, errDamaged
	}
	for len(raw) > 0 {
		f, ok := raw.Next()
		if !ok {
			return kind, list, nil, errDamaged
		}
		switch f.Key() {
		case listMetadata:
			if err := list.Unmarshal(f.Value); err != nil {
				return kind, list, nil, err
			}
		case listItems:
			id, ok := identityOf(f.Value)
			if !ok {
				return kind, list, nil, errDamaged
			}
			pods = append(pods, id.strings())
		}
	}
	return kind, list, pods, nil
}

// identityOf reads an item of a list. The metadata of a PartialObjectMetadata has the number
// that it has in a pod.
func identityOf(item protobuf.Message) (id identity, ok bool) {
	for len(item) > 0 {
		f, ok := item.Next()
		if !ok {
			return id, false
		}
		if f.Key() != podMetadata {
			continue
		}
		for m := protobuf.Message(f.Value); len(m) > 0; {
			f, ok := m.Next()
			if !ok {
				return id, false
			}
			id.read(f)
		}
	}
	return id, true
}

// strings copies the identity, in one allocation.
func (i identity) strings() Identity {
	all := string(bytes.Join([][]byte{i.namespace, i.name, i.uid, i.resourceVersion}, nil))
	name, uid := len(i.namespace), len(i.namespace)+len(i.name)
	version := uid + len(i.uid)
	return Identity{Namespace: all[:name], Name: all[name:uid], UID: types.UID(all[uid:version]), ResourceVersion: all[version:]}
}
