// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"encoding/binary"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"github.com/executorpods/watchsource/internal/podwire/envelope"
	"github.com/executorpods/watchsource/internal/podwire/protobuf"
	"github.com/executorpods/watchsource/internal/podwire/rawpod"
	"github.com/executorpods/watchsource/internal/test/podtest"
)

// clientGo is the negotiator that a clientset has.
func clientGo() runtime.ClientNegotiator {
	codecs := rest.CodecFactoryForGeneratedClient(scheme.Scheme, scheme.Codecs).WithoutConversion()
	return runtime.NewClientNegotiator(codecs, corev1.SchemeGroupVersion)
}

func enveloped(tb testing.TB, object runtime.Object) []byte {
	tb.Helper()
	info, _ := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), runtime.ContentTypeProtobuf)
	data, err := runtime.Encode(scheme.Codecs.EncoderForVersion(info.Serializer, corev1.SchemeGroupVersion), object)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// wrapped puts a message into an envelope.
func wrapped(kind string, raw []byte) []byte {
	unknown := runtime.Unknown{TypeMeta: runtime.TypeMeta{APIVersion: "v1", Kind: kind}, Raw: raw}
	data, err := unknown.Marshal()
	if err != nil {
		panic(err)
	}
	return append(slices.Clone(envelope.Magic), data...)
}

func listOf(pods ...[]byte) []byte {
	meta := metav1.ListMeta{ResourceVersion: "5", Continue: "next"}
	data, err := meta.Marshal()
	if err != nil {
		panic(err)
	}
	out := append([]byte{rawpod.ListMetadata<<3 | protobuf.BytesKind, byte(len(data))}, data...)
	for _, pod := range pods {
		out = append(out, rawpod.ListItems<<3|protobuf.BytesKind)
		out = append(binary.AppendUvarint(out, uint64(len(pod))), pod...)
	}
	return out
}

func eventOf(tb testing.TB, kind string, object runtime.Object) []byte {
	tb.Helper()
	event := metav1.WatchEvent{Type: kind, Object: runtime.RawExtension{Raw: enveloped(tb, object)}}
	frame, err := event.Marshal()
	if err != nil {
		tb.Fatal(err)
	}
	return frame
}

// cutObject is an event whose object ends early.
func cutObject(tb testing.TB) []byte {
	tb.Helper()
	pod := enveloped(tb, podtest.Executor(1, 1, true))
	event := metav1.WatchEvent{Type: "MODIFIED", Object: runtime.RawExtension{Raw: pod[:len(pod)-1]}}
	frame, err := event.Marshal()
	if err != nil {
		tb.Fatal(err)
	}
	return frame
}

func framed(frame []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(frame))), frame...)
}

func inJSON(tb testing.TB, object runtime.Object) []byte {
	tb.Helper()
	info, _ := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), runtime.ContentTypeJSON)
	data, err := runtime.Encode(info.Serializer, object)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}
