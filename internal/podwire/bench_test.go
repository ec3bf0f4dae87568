// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"io"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

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

// What an event costs on the way from the body of a watch to a pod.
func BenchmarkEvent(b *testing.B) {
	const pods = 1000
	var stream []byte
	for i := range 2 * pods {
		stream = append(stream, framed(eventOf(b, "MODIFIED", podtest.Executor(i%pods, i, i < pods)))...)
	}
	b.Logf("%d bytes", len(stream)/(2*pods))
	for _, watch := range []struct {
		name string
		next func(body io.ReadCloser) func() (watch.Event, error)
	}{
		{name: "client-go", next: func(body io.ReadCloser) func() (watch.Event, error) {
			return theirNext(clientGo(), runtime.ContentTypeProtobuf, body)
		}},
		{name: "packed", next: func(body io.ReadCloser) func() (watch.Event, error) {
			held := map[types.UID]*Pod{}
			known := func(uid []byte) Known {
				if pod := held[types.UID(uid)]; pod != nil {
					return Known{Identity: pod.Identity, Pod: pod}
				}
				return Known{}
			}
			next := NewNegotiator(clientGo(), Wire, nil, known, func(string) {}).Stream(body).Next
			return func() (watch.Event, error) {
				event, err := next()
				if pod, ok := From(event.Object); ok {
					held[pod.UID] = pod
				}
				return event, err
			}
		}},
	} {
		b.Run(watch.name, func(b *testing.B) {
			next := watch.next(io.NopCloser(&podtest.Endless{All: stream}))
			held := make([]runtime.Object, pods)
			b.ReportAllocs()
			before := cpu()
			defer func() { b.ReportMetric(float64(cpu()-before)/float64(b.N), "cpu-ns/op") }()
			for i := 0; b.Loop(); i++ {
				event, err := next()
				if err != nil {
					b.Fatal(err)
				}
				held[i%pods] = event.Object
			}
		})
	}
}

func cpu() int64 {
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return usage.Utime.Nano() + usage.Stime.Nano()
}
