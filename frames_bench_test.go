// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"bytes"
	"encoding/binary"
	"io"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"github.com/executorpods/watchsource/internal/podwire"
	"github.com/executorpods/watchsource/internal/test/podtest"
)

// What an event costs from the frame to the store, without a connection and without readers.
func BenchmarkFrameToStore(b *testing.B) {
	const pods = 1000
	frames := encodedUpdates(b, pods)
	for name, store := range map[string]*Store{"pods": NewStore(), "without pods": NewStore(WithoutPods())} {
		b.Run(name, func(b *testing.B) {
			next := negotiatorFor(store).Stream(io.NopCloser(&podtest.Endless{All: frames})).Next
			watcher := newWatcher(store, sparkSelector(podtest.ExecutorApp), &sourceOptions{})
			watcher.replace(nil, "1")
			receive := func() {
				event, err := next()
				if err == nil {
					err = watcher.receive(event)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
			for range 2 * pods {
				receive()
			}
			b.ReportAllocs()
			for b.Loop() {
				receive()
			}
		})
	}
}

func negotiatorFor(store *Store) *podwire.Negotiator {
	codecs := rest.CodecFactoryForGeneratedClient(scheme.Scheme, scheme.Codecs).WithoutConversion()
	clientGo := runtime.NewClientNegotiator(codecs, corev1.SchemeGroupVersion)
	return podwire.NewNegotiator(clientGo, podwire.Wire, nil, store.records.known, func(string) {})
}

// encodedUpdates returns the frames of two states of each pod.
func encodedUpdates(b *testing.B, pods int) (frames []byte) {
	info, _ := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), runtime.ContentTypeProtobuf)
	for i := range 2 * pods {
		var object bytes.Buffer
		if err := info.Serializer.Encode(podtest.Executor(i%pods, i, i < pods), &object); err != nil {
			b.Fatal(err)
		}
		event := metav1.WatchEvent{Type: "MODIFIED", Object: runtime.RawExtension{Raw: object.Bytes()}}
		frame, err := event.Marshal()
		if err != nil {
			b.Fatal(err)
		}
		frames = binary.BigEndian.AppendUint32(frames, uint32(len(frame)))
		frames = append(frames, frame...)
	}
	return frames
}
