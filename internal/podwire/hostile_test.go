// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"bytes"
	goruntime "runtime"
	"slices"
	"testing"

	"github.com/executorpods/watchsource/internal/podwire/protobuf"
	"github.com/executorpods/watchsource/internal/podwire/protobuf/protobuftest"
	"github.com/executorpods/watchsource/internal/podwire/rawpod"
	"github.com/executorpods/watchsource/internal/test/podtest"
	"k8s.io/apimachinery/pkg/runtime"
)

// hostile returns pods that no server sends, with n fields that are as small as can be.
func hostile(n int) map[string][]byte {
	empty := func(number int) []byte { return bytes.Repeat(protobuftest.Within(nil, number), n) }
	deep := []byte{}
	for range n {
		if deep = protobuftest.Within(deep, 1); len(deep) > 4*n {
			break
		}
	}
	return map[string][]byte{
		"metadata n times":                empty(rawpod.PodMetadata),
		"fields of a newer API":           bytes.Repeat([]byte{100<<3&0x7f | 0x80, 6, 0}, n),
		"unknown fields of the metadata":  protobuftest.Within(bytes.Repeat([]byte{30<<3&0x7f | 0x80, 1, 0}, n), rawpod.PodMetadata),
		"unknown fields of the spec":      protobuftest.Within(bytes.Repeat([]byte{0xf0, 0x07, 0}, n), rawpod.PodSpec),
		"unknown fields of a container":   protobuftest.Within(bytes.Repeat([]byte{0xf0, 0x07, 0}, n), rawpod.PodSpec, rawpod.SpecContainers),
		"labels":                          protobuftest.Within(empty(rawpod.MetaLabels), rawpod.PodMetadata),
		"fields of one label":             protobuftest.Within(protobuftest.Alternating(n, protobuftest.Within(nil, protobuf.MapKey), protobuftest.Within(nil, protobuf.MapValue)), rawpod.PodMetadata, rawpod.MetaLabels),
		"annotations":                     protobuftest.Within(empty(rawpod.MetaAnnotations), rawpod.PodMetadata),
		"owners":                          protobuftest.Within(empty(13), rawpod.PodMetadata),
		"managedFields":                   protobuftest.Within(protobuftest.Alternating(n, protobuftest.Within(nil, rawpod.MetaManagedFields), []byte{0x88, 0x01, 0}[:0]), rawpod.PodMetadata),
		"versions":                        protobuftest.Within(empty(rawpod.MetaResourceVersion), rawpod.PodMetadata),
		"versions between managedFields":  protobuftest.Within(protobuftest.Alternating(n, protobuftest.Within(nil, rawpod.MetaResourceVersion), binaryField(rawpod.MetaManagedFields)), rawpod.PodMetadata),
		"containers":                      protobuftest.Within(empty(rawpod.SpecContainers), rawpod.PodSpec),
		"containers, damaged at the end":  protobuftest.Within(slices.Concat(empty(rawpod.SpecContainers), []byte{rawpod.SpecContainers<<3 | protobuf.BytesKind, 9}), rawpod.PodSpec),
		"init containers":                 protobuftest.Within(empty(rawpod.SpecInitContainers), rawpod.PodSpec),
		"variables":                       protobuftest.Within(empty(7), rawpod.PodSpec, rawpod.SpecContainers),
		"policies of a container":         protobuftest.Within(bytes.Repeat(protobuftest.Within(nil, rawpod.ContainerRestartPolicy), n), rawpod.PodSpec, rawpod.SpecInitContainers),
		"rules of a container":            protobuftest.Within(bytes.Repeat(protobuftest.Within(nil, rawpod.ContainerRestartRules), n), rawpod.PodSpec, rawpod.SpecInitContainers),
		"tolerations and volumes in turn": protobuftest.Within(protobuftest.Alternating(n, protobuftest.Within(nil, 1), protobuftest.Within(nil, 22)), rawpod.PodSpec),
		"conditions":                      protobuftest.Within(empty(rawpod.StatusConditions), rawpod.PodStatus),
		"container statuses":              protobuftest.Within(empty(rawpod.StatusContainerStatuses), rawpod.PodStatus),
		"states of a container":           protobuftest.Within(bytes.Repeat(protobuftest.Within(nil, rawpod.ContainerStatusState), n), rawpod.PodStatus, rawpod.StatusContainerStatuses),
		"phases and messages in turn":     protobuftest.Within(protobuftest.Alternating(n, protobuftest.Within(nil, rawpod.StatusPhase), protobuftest.Within(nil, rawpod.StatusMessage)), rawpod.PodStatus),
		"a long label":                    protobuftest.Within(protobuftest.Within(bytes.Repeat([]byte{'x'}, 2*n), protobuf.MapValue), rawpod.PodMetadata, rawpod.MetaLabels),
		"a long message":                  protobuftest.Within(protobuftest.Within(bytes.Repeat([]byte{'x'}, 2*n), rawpod.StatusMessage), rawpod.PodStatus),
		"nested":                          protobuftest.Within(deep, rawpod.PodSpec, rawpod.SpecContainers),
		"nested fields of a newer API":    protobuftest.Within(deep, rawpod.PodSpec, 100),
		"resources, all without a number": protobuftest.Within(bytes.Repeat(protobuftest.Within(protobuftest.Within(nil, protobuf.MapValue), 1), n), rawpod.PodSpec, rawpod.SpecContainers, 8),
		"conditions with many unknown":    protobuftest.Within(bytes.Repeat([]byte{0xf0, 0x07, 0}, n), rawpod.PodStatus, rawpod.StatusConditions),
		"damage in the last of many":      protobuftest.Within(slices.Concat(empty(rawpod.StatusConditions), []byte{rawpod.StatusConditions<<3 | protobuf.VarintKind, 1}), rawpod.PodStatus),
	}
}

func binaryField(number int) []byte { return protobuftest.Within(nil, number) }

// What a hostile pod makes the decoder allocate is no more than what client-go allocates, and the
// bytes that the pod has: the copy that is kept, and a delta from another template. It grows with the
// frame, and not faster.
func TestHostilePods(t *testing.T) {
	const n = 1 << 14
	usual, err := podtest.Executor(1, 1, true).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	first, half, whole := hostile(n/8), hostile(n), hostile(2*n)
	for name := range whole {
		t.Run(name, func(t *testing.T) {
			used := func(pod []byte) uint64 {
				r := newReceiver(none)
				for _, first := range [][]byte{usual, first["labels"], first["variables"], first["conditions with many unknown"]} {
					if _, err := decode(r, wrapped("Pod", first)); err != nil { // has other templates
						t.Fatal(err)
					}
				}
				data := wrapped("Pod", pod)
				return allocated(func() { decode(r, data) })
			}
			own, size := used(whole[name]), uint64(len(whole[name]))
			theirs := allocated(func() { decode(clientGo(), wrapped("Pod", whole[name])) })
			if most := theirs + 4*size + 1<<16; own > most {
				t.Errorf("%d bytes allocated for a frame of %d, want at most %d; client-go allocates %d", own, size, most, theirs)
			}
			if half := used(half[name]); own > 3*half+1<<16 {
				t.Errorf("%d bytes allocated for %d fields, and %d for half of them", own, 2*n, half)
			}
		})
	}
}

// Only data that has arrived is allocated, not an announced length.
func TestHostileLengths(t *testing.T) {
	pod, err := podtest.Executor(1, 1, true).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	r := newReceiver(last)
	for _, path := range [][]byte{{}, {0, 7, 0}, {1, 7, 0}, {2, 7, 0}, {1, 7, 0, 1, 7, 0}, {2, 7, 0, 1, 7, 0}} {
		for bits := byte(0); bits < 64; bits += 9 {
			for of := range byte(16) {
				data := wrapped("Pod", protobuftest.Damaged(pod, append(bytes.Clone(path), of, 5, bits)))
				if used := allocated(func() { decode(r, data) }); used > 1<<20 {
					t.Errorf("%d bytes allocated for a frame of %d, at %v with a length of 2^%d, want at most 1 MB", used, len(data), path, bits)
				}
			}
		}
	}
	many := wrapped("Pod", bytes.Repeat([]byte{rawpod.PodStatus<<3 | protobuf.BytesKind, 0}, 1<<15))
	if used := allocated(func() { decode(r, many) }); used > 1<<20 {
		t.Errorf("%d bytes allocated for a frame of %d, want at most 1 MB", used, len(many))
	}
	frame := append([]byte{0x7f, 0xff, 0xff, 0xff}, eventOf(t, "MODIFIED", podtest.Executor(1, 1, true))...)
	if used := allocated(func() { r.events(frame, func(int, runtime.Object) {}) }); used > 1<<20 {
		t.Errorf("%d bytes allocated for a stream of %d, want at most 1 MB", used, len(frame))
	}
}

func allocated(work func()) uint64 {
	var before, after goruntime.MemStats
	goruntime.ReadMemStats(&before)
	work()
	goruntime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
