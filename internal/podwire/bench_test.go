// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"io"
	"syscall"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/executorpods/watchsource/internal/test/podtest"
)

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
