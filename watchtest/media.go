// SPDX-License-Identifier: Apache-2.0

package watchtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
)

// media encodes objects in one media type: JSON or protobuf.
type media struct {
	index       int
	as          string // the kind that a client asked for, "" for the object itself
	unmanaged   bool   // without managedFields
	contentType string
	streamType  string // content type of a watch
	object      runtime.Serializer
	event       runtime.Serializer // encodes the metav1.WatchEvent around an object
	framer      runtime.Framer
}

const (
	jsonIndex = iota
	protobufIndex
	jsonMetadataIndex
	protobufMetadataIndex
	unmanagedIndex // the first of those without managedFields
	mediaCount     = 2 * unmanagedIndex
)

var (
	jsonMedia     = newMedia(jsonIndex, runtime.ContentTypeJSON, "")
	protobufMedia = newMedia(protobufIndex, runtime.ContentTypeProtobuf, ";stream=watch")
)

// The kinds of answers that contain only metadata.
const (
	metadataKind     = "PartialObjectMetadata"
	metadataListKind = "PartialObjectMetadataList"
)

func newMedia(index int, contentType, streamSuffix string) *media {
	info, ok := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), contentType)
	if !ok {
		panic("watchtest: client-go cannot write " + contentType)
	}
	return &media{
		index:       index,
		contentType: contentType,
		streamType:  contentType + streamSuffix,
		object:      info.Serializer,
		event:       info.StreamSerializer.Serializer,
		framer:      info.StreamSerializer.Framer,
	}
}

// metadataMedia returns the media type with a kind that contains only metadata.
func (m *media) metadataMedia(kind string) *media {
	with := *m
	with.index += jsonMetadataIndex - jsonIndex
	with.as = kind // kube-apiserver does not repeat it in the Content-Type
	return &with
}

// unmanagedMedia returns the media type without managedFields.
func (m *media) unmanagedMedia() *media {
	without := *m
	without.index += unmanagedIndex
	without.unmanaged = true // kube-apiserver does not repeat it in the Content-Type
	return &without
}

// negotiate returns the first media type in the Accept header that the server supports, without
// managedFields if the entry asks for that and managedOptOut is true. It skips entries with a
// transformation ("as=Table") or a drop that the server does not support.
func negotiate(header http.Header, managedOptOut bool) (*media, bool) {
	accept := header.Get("Accept")
	if accept == "" {
		return jsonMedia, true
	}
	for entry := range strings.SplitSeq(accept, ",") {
		name, params, err := mime.ParseMediaType(entry)
		if err != nil {
			continue
		}
		var found *media
		switch name {
		case runtime.ContentTypeProtobuf:
			found = protobufMedia
		case runtime.ContentTypeJSON, "application/*", "*/*":
			found = jsonMedia
		default:
			continue
		}
		switch as := params["as"]; {
		case as == "":
		case (as == metadataKind || as == metadataListKind) && params["g"] == metav1.GroupName && params["v"] == "v1":
			found = found.metadataMedia(as)
		default:
			continue
		}
		switch drop := params["drop"]; {
		case drop == "" || !managedOptOut:
			return found, true
		case drop == "metadata.managedFields":
			return found.unmanagedMedia(), true
		}
	}
	return nil, false
}

// fits reports whether a verb returns the kind that the client asked for.
func (m *media) fits(verb Verb) bool {
	switch m.as {
	case metadataKind:
		return verb&(Get|Watch|StreamingList) != 0
	case metadataListKind:
		return verb == List
	default:
		return true
	}
}

// encode encodes one object. The object must contain its kind and API version, because
// these serializers do not set them. So they do not modify objects, which can be shared.
func (m *media) encode(object runtime.Object) []byte {
	var out bytes.Buffer
	if m.unmanaged {
		object = unmanaged(object)
	}
	if m.as != "" {
		object = metadataOf(object)
	}
	if err := m.object.Encode(object, &out); err != nil {
		panic(fmt.Sprintf("watchtest: encode %T: %v", object, err))
	}
	return out.Bytes()
}

// unmanaged returns a pod or a list of pods without managedFields, and any other object as it is.
// The copies are shallow, because pods in the store are not modified.
func unmanaged(object runtime.Object) runtime.Object {
	switch object := object.(type) {
	case *corev1.Pod:
		without := *object
		without.ManagedFields = nil
		return &without
	case *corev1.PodList:
		without := *object
		without.Items = slices.Clone(object.Items)
		for i := range without.Items {
			without.Items[i].ManagedFields = nil
		}
		return &without
	default:
		return object
	}
}

// metadataOf returns the metadata of a pod or of the pods in a list, and any other object as it
// is.
func metadataOf(object runtime.Object) runtime.Object {
	switch object := object.(type) {
	case *corev1.Pod:
		partial := partialOf(object)
		return &partial
	case *corev1.PodList:
		list := &metav1.PartialObjectMetadataList{
			TypeMeta: metav1.TypeMeta{Kind: metadataListKind, APIVersion: metadataVersion},
			ListMeta: object.ListMeta,
			Items:    []metav1.PartialObjectMetadata{},
		}
		for i := range object.Items {
			list.Items = append(list.Items, partialOf(&object.Items[i]))
		}
		return list
	default:
		return object
	}
}

const metadataVersion = metav1.GroupName + "/v1"

func partialOf(pod *corev1.Pod) metav1.PartialObjectMetadata {
	return metav1.PartialObjectMetadata{
		TypeMeta:   metav1.TypeMeta{Kind: metadataKind, APIVersion: metadataVersion},
		ObjectMeta: pod.ObjectMeta,
	}
}

// frame wraps an encoded object in an event, and the event in a frame.
func (m *media) frame(eventType string, object []byte) []byte {
	var out, framed bytes.Buffer
	event := &metav1.WatchEvent{Type: eventType, Object: runtime.RawExtension{Raw: object}}
	if err := m.event.Encode(event, &out); err != nil {
		panic(fmt.Sprintf("watchtest: encode a watch event: %v", err))
	}
	if _, err := m.framer.NewFrameWriter(&framed).Write(out.Bytes()); err != nil {
		panic(fmt.Sprintf("watchtest: frame a watch event: %v", err))
	}
	return framed.Bytes()
}

// malform returns the object with a part that no decoder can read. It does not change the
// metadata of a pod.
func (m *media) malform(encoded []byte) []byte {
	if m.object == jsonMedia.object {
		return malformJSON(encoded)
	}
	return malformProtobuf(encoded)
}

func malformJSON(encoded []byte) []byte {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(encoded, &object); err != nil {
		panic(fmt.Sprintf("watchtest: malform: %v", err))
	}
	part := "metadata"
	for _, other := range []string{"items", "spec"} {
		if _, has := object[other]; has {
			part = other
		}
	}
	object[part] = json.RawMessage("7") // neither a list nor a message
	damaged, err := json.Marshal(object)
	if err != nil {
		panic(fmt.Sprintf("watchtest: malform: %v", err))
	}
	return damaged
}

func malformProtobuf(encoded []byte) []byte {
	prefix := encoded[:4] // "k8s" and a zero
	var envelope runtime.Unknown
	if err := envelope.Unmarshal(encoded[4:]); err != nil {
		panic(fmt.Sprintf("watchtest: malform: %v", err))
	}
	// Field 2, the pod's spec or an item of the list, with a length of
	// 127 bytes that do not follow.
	envelope.Raw = append(bytes.Clone(envelope.Raw), 2<<3|2, 0x7f)
	damaged, err := envelope.Marshal()
	if err != nil {
		panic(fmt.Sprintf("watchtest: malform: %v", err))
	}
	return append(bytes.Clone(prefix), damaged...)
}
