// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"bytes"
	"errors"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/executorpods/watchsource/internal/podwire/envelope"
	"github.com/executorpods/watchsource/internal/podwire/rawpod"
)

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
		case rawpod.ListMetadata:
			if err := list.Unmarshal(f.Value); err != nil {
				return kind, list, nil, err
			}
		case rawpod.ListItems:
			id, ok := rawpod.IdentityOf(f.Value)
			if !ok {
				return kind, list, nil, errDamaged
			}
			pods = append(pods, copied(id))
		}
	}
	return kind, list, pods, nil
}

// copied copies an identity, in one allocation.
func copied(i rawpod.Identity) Identity {
	all := string(bytes.Join([][]byte{i.Namespace, i.Name, i.UID, i.ResourceVersion}, nil))
	name, uid := len(i.Namespace), len(i.Namespace)+len(i.Name)
	version := uid + len(i.UID)
	return Identity{Namespace: all[:name], Name: all[name:uid], UID: types.UID(all[uid:version]), ResourceVersion: all[version:]}
}
