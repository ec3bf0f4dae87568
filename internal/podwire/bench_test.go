// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"github.com/executorpods/watchsource/internal/samplepod"
)

// clientGo is the negotiator that a clientset has.
func clientGo() runtime.ClientNegotiator {
	codecs := rest.CodecFactoryForGeneratedClient(scheme.Scheme, scheme.Codecs).WithoutConversion()
	return runtime.NewClientNegotiator(codecs, corev1.SchemeGroupVersion)
}

func envelope(tb testing.TB, object runtime.Object) []byte {
	tb.Helper()
	info, _ := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), runtime.ContentTypeProtobuf)
	data, err := runtime.Encode(scheme.Codecs.EncoderForVersion(info.Serializer, corev1.SchemeGroupVersion), object)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// What a frame of a watch costs once it has been read.
func BenchmarkEvent(b *testing.B) {
	const pods = 1000
	var frames [][]byte
	for i := range 2 * pods {
		event := metav1.WatchEvent{Type: "MODIFIED", Object: runtime.RawExtension{Raw: envelope(b, samplepod.Executor(i%pods, 1+i/pods))}}
		frame, err := event.Marshal()
		if err != nil {
			b.Fatal(err)
		}
		frames = append(frames, frame)
	}
	b.Logf("%d bytes", len(frames[0]))
	for _, decoder := range []struct {
		name       string
		negotiator runtime.ClientNegotiator
	}{
		{"client-go", clientGo()},
		{"full", NewNegotiator(clientGo(), Full, func(string) {})},
		{"trimmed", NewNegotiator(clientGo(), Trimmed, func(string) {})},
	} {
		b.Run(decoder.name, func(b *testing.B) {
			objects, events, _, err := decoder.negotiator.StreamDecoder(runtime.ContentTypeProtobuf, nil)
			if err != nil {
				b.Fatal(err)
			}
			held := make([]runtime.Object, pods)
			b.ReportAllocs()
			before := cpu()
			defer func() { b.ReportMetric(float64(cpu()-before)/float64(b.N), "cpu-ns/op") }()
			for i := 0; b.Loop(); i++ {
				var event metav1.WatchEvent
				if _, _, err := events.Decode(frames[i%len(frames)], nil, &event); err != nil {
					b.Fatal(err)
				}
				pod, err := runtime.Decode(objects, event.Object.Raw)
				if err != nil {
					b.Fatal(err)
				}
				held[i%pods] = pod
			}
		})
	}
}

func cpu() int64 {
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return usage.Utime.Nano() + usage.Stime.Nano()
}
