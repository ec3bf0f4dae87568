// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"bytes"
	"slices"
	"testing"

	"github.com/executorpods/watchsource/internal/podwire/protobuf"
	"github.com/executorpods/watchsource/internal/podwire/protobuf/protobuftest"
	"github.com/executorpods/watchsource/internal/test/podtest"
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
		"metadata n times":                empty(podMetadata),
		"fields of a newer API":           bytes.Repeat([]byte{100<<3&0x7f | 0x80, 6, 0}, n),
		"unknown fields of the metadata":  protobuftest.Within(bytes.Repeat([]byte{30<<3&0x7f | 0x80, 1, 0}, n), podMetadata),
		"unknown fields of the spec":      protobuftest.Within(bytes.Repeat([]byte{0xf0, 0x07, 0}, n), podSpec),
		"unknown fields of a container":   protobuftest.Within(bytes.Repeat([]byte{0xf0, 0x07, 0}, n), podSpec, specContainers),
		"labels":                          protobuftest.Within(empty(metaLabels), podMetadata),
		"fields of one label":             protobuftest.Within(protobuftest.Alternating(n, protobuftest.Within(nil, protobuf.MapKey), protobuftest.Within(nil, protobuf.MapValue)), podMetadata, metaLabels),
		"annotations":                     protobuftest.Within(empty(metaAnnotations), podMetadata),
		"owners":                          protobuftest.Within(empty(13), podMetadata),
		"managedFields":                   protobuftest.Within(protobuftest.Alternating(n, protobuftest.Within(nil, metaManagedFields), []byte{0x88, 0x01, 0}[:0]), podMetadata),
		"versions":                        protobuftest.Within(empty(metaResourceVersion), podMetadata),
		"versions between managedFields":  protobuftest.Within(protobuftest.Alternating(n, protobuftest.Within(nil, metaResourceVersion), binaryField(metaManagedFields)), podMetadata),
		"containers":                      protobuftest.Within(empty(specContainers), podSpec),
		"containers, damaged at the end":  protobuftest.Within(slices.Concat(empty(specContainers), []byte{specContainers<<3 | protobuf.BytesKind, 9}), podSpec),
		"init containers":                 protobuftest.Within(empty(specInitContainers), podSpec),
		"variables":                       protobuftest.Within(empty(7), podSpec, specContainers),
		"policies of a container":         protobuftest.Within(bytes.Repeat(protobuftest.Within(nil, containerRestartPolicy), n), podSpec, specInitContainers),
		"rules of a container":            protobuftest.Within(bytes.Repeat(protobuftest.Within(nil, containerRestartRules), n), podSpec, specInitContainers),
		"tolerations and volumes in turn": protobuftest.Within(protobuftest.Alternating(n, protobuftest.Within(nil, 1), protobuftest.Within(nil, 22)), podSpec),
		"conditions":                      protobuftest.Within(empty(statusConditions), podStatus),
		"container statuses":              protobuftest.Within(empty(statusContainerStatuses), podStatus),
		"states of a container":           protobuftest.Within(bytes.Repeat(protobuftest.Within(nil, containerStatusState), n), podStatus, statusContainerStatuses),
		"phases and messages in turn":     protobuftest.Within(protobuftest.Alternating(n, protobuftest.Within(nil, statusPhase), protobuftest.Within(nil, statusMessage)), podStatus),
		"a long label":                    protobuftest.Within(protobuftest.Within(bytes.Repeat([]byte{'x'}, 2*n), protobuf.MapValue), podMetadata, metaLabels),
		"a long message":                  protobuftest.Within(protobuftest.Within(bytes.Repeat([]byte{'x'}, 2*n), statusMessage), podStatus),
		"nested":                          protobuftest.Within(deep, podSpec, specContainers),
		"nested fields of a newer API":    protobuftest.Within(deep, podSpec, 100),
		"resources, all without a number": protobuftest.Within(bytes.Repeat(protobuftest.Within(protobuftest.Within(nil, protobuf.MapValue), 1), n), podSpec, specContainers, 8),
		"conditions with many unknown":    protobuftest.Within(bytes.Repeat([]byte{0xf0, 0x07, 0}, n), podStatus, statusConditions),
		"damage in the last of many":      protobuftest.Within(slices.Concat(empty(statusConditions), []byte{statusConditions<<3 | protobuf.VarintKind, 1}), podStatus),
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
