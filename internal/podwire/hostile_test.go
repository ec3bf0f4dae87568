// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"testing"

	"github.com/executorpods/watchsource/internal/podwire/protobuf"
	"github.com/executorpods/watchsource/internal/test/podtest"
)

// within puts a message into fields, the outermost first.
func within(m []byte, path ...int) []byte {
	for _, number := range slices.Backward(path) {
		head := binary.AppendUvarint(nil, uint64(number)<<3|protobuf.BytesKind)
		m = append(binary.AppendUvarint(head, uint64(len(m))), m...)
	}
	return m
}

// alternating returns fields of two kinds in turn.
func alternating(n int, a, b []byte) []byte {
	return bytes.Repeat(slices.Concat(a, b), n/2)
}

// hostile returns pods that no server sends, with n fields that are as small as can be.
func hostile(n int) map[string][]byte {
	empty := func(number int) []byte { return bytes.Repeat(within(nil, number), n) }
	deep := []byte{}
	for range n {
		if deep = within(deep, 1); len(deep) > 4*n {
			break
		}
	}
	return map[string][]byte{
		"metadata n times":                empty(podMetadata),
		"fields of a newer API":           bytes.Repeat([]byte{100<<3&0x7f | 0x80, 6, 0}, n),
		"unknown fields of the metadata":  within(bytes.Repeat([]byte{30<<3&0x7f | 0x80, 1, 0}, n), podMetadata),
		"unknown fields of the spec":      within(bytes.Repeat([]byte{0xf0, 0x07, 0}, n), podSpec),
		"unknown fields of a container":   within(bytes.Repeat([]byte{0xf0, 0x07, 0}, n), podSpec, specContainers),
		"labels":                          within(empty(metaLabels), podMetadata),
		"fields of one label":             within(alternating(n, within(nil, protobuf.MapKey), within(nil, protobuf.MapValue)), podMetadata, metaLabels),
		"annotations":                     within(empty(metaAnnotations), podMetadata),
		"owners":                          within(empty(13), podMetadata),
		"managedFields":                   within(alternating(n, within(nil, metaManagedFields), []byte{0x88, 0x01, 0}[:0]), podMetadata),
		"versions":                        within(empty(metaResourceVersion), podMetadata),
		"versions between managedFields":  within(alternating(n, within(nil, metaResourceVersion), binaryField(metaManagedFields)), podMetadata),
		"containers":                      within(empty(specContainers), podSpec),
		"containers, damaged at the end":  within(slices.Concat(empty(specContainers), []byte{specContainers<<3 | protobuf.BytesKind, 9}), podSpec),
		"init containers":                 within(empty(specInitContainers), podSpec),
		"variables":                       within(empty(7), podSpec, specContainers),
		"policies of a container":         within(bytes.Repeat(within(nil, containerRestartPolicy), n), podSpec, specInitContainers),
		"rules of a container":            within(bytes.Repeat(within(nil, containerRestartRules), n), podSpec, specInitContainers),
		"tolerations and volumes in turn": within(alternating(n, within(nil, 1), within(nil, 22)), podSpec),
		"conditions":                      within(empty(statusConditions), podStatus),
		"container statuses":              within(empty(statusContainerStatuses), podStatus),
		"states of a container":           within(bytes.Repeat(within(nil, containerStatusState), n), podStatus, statusContainerStatuses),
		"phases and messages in turn":     within(alternating(n, within(nil, statusPhase), within(nil, statusMessage)), podStatus),
		"a long label":                    within(within(bytes.Repeat([]byte{'x'}, 2*n), protobuf.MapValue), podMetadata, metaLabels),
		"a long message":                  within(within(bytes.Repeat([]byte{'x'}, 2*n), statusMessage), podStatus),
		"nested":                          within(deep, podSpec, specContainers),
		"nested fields of a newer API":    within(deep, podSpec, 100),
		"resources, all without a number": within(bytes.Repeat(within(within(nil, protobuf.MapValue), 1), n), podSpec, specContainers, 8),
		"conditions with many unknown":    within(bytes.Repeat([]byte{0xf0, 0x07, 0}, n), podStatus, statusConditions),
		"damage in the last of many":      within(slices.Concat(empty(statusConditions), []byte{statusConditions<<3 | protobuf.VarintKind, 1}), podStatus),
	}
}

func binaryField(number int) []byte { return within(nil, number) }

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

// Each field of a message is checked a bounded number of times, however its fields and those of the
// template are arranged.
func TestChecksOfAHostilePart(t *testing.T) {
	const n = 1000
	checks := 0
	leaf := &shape{unmarshal: func(protobuf.Message) error { checks++; return nil }}
	inner := new(shape)
	inner.put(1, fieldSpec{known: true, kind: protobuf.BytesKind, shape: leaf})
	inner.put(2, fieldSpec{known: true, kind: protobuf.BytesKind, shape: leaf})
	outer := new(shape)
	outer.put(1, fieldSpec{known: true, kind: protobuf.BytesKind, shape: inner})
	outer.put(2, fieldSpec{known: true, kind: protobuf.BytesKind, shape: inner})
	a, b := within([]byte{1}, 1), within([]byte{2, 3}, 2)
	parts := map[string][]byte{
		"one":       bytes.Repeat(within(a, 1), n),
		"other":     bytes.Repeat(within(b, 2), n),
		"in turn":   alternating(n, within(a, 1), within(b, 2)),
		"backwards": alternating(n, within(b, 2), within(a, 1)),
		"in one":    within(alternating(n, a, b), 1),
		"in other":  within(alternating(n, b, a), 2),
		"short":     within(a, 2),
		"none":      {},
	}
	for from, template := range parts {
		for to, m := range parts {
			var w deltaWriter
			checks = 0
			delta, _, ok := w.write(template, m, outer, math.MaxInt)
			if !ok || checks > n {
				t.Errorf("from %q to %q: %t with %d checks of %d fields, want each checked once", from, to, ok, checks, n)
			}
			if most := 2*len(m) + 4*n; len(delta) > most {
				t.Errorf("from %q to %q: a delta of %d bytes for a part of %d, want at most %d", from, to, len(delta), len(m), most)
			}
		}
	}
}
