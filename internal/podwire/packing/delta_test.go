// SPDX-License-Identifier: Apache-2.0

package packing

import (
	"bytes"
	"math"
	"slices"
	"testing"
	"weak"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/executorpods/watchsource/internal/podwire/protobuf"
	"github.com/executorpods/watchsource/internal/podwire/protobuf/protobuftest"
	"github.com/executorpods/watchsource/internal/test/podtest"
)

// partShapes are the shapes of a pod's parts, and what client-go decodes them with.
var partShapes = []struct {
	name      string
	shape     func() *Shape
	of        func(*corev1.Pod) interface{ Marshal() ([]byte, error) }
	unmarshal func(protobuf.Message) error
}{
	{"metadata", MetadataShape, func(p *corev1.Pod) interface{ Marshal() ([]byte, error) } { return &p.ObjectMeta }, func(m protobuf.Message) error { return new(metav1.ObjectMeta).Unmarshal(m) }},
	{"spec", SpecShape, func(p *corev1.Pod) interface{ Marshal() ([]byte, error) } { return &p.Spec }, func(m protobuf.Message) error { return new(corev1.PodSpec).Unmarshal(m) }},
	{"status", StatusShape, func(p *corev1.Pod) interface{ Marshal() ([]byte, error) } { return &p.Status }, func(m protobuf.Message) error { return new(corev1.PodStatus).Unmarshal(m) }},
}

// refuses reports whether a check fails or panics, as the generated code of quantities may.
func refuses(check func() bool) (refused bool) {
	defer func() {
		if recover() != nil {
			refused = true
		}
	}()
	return !check()
}

// A message that was packed with any template is unpacked byte for byte, and a message that
// client-go refuses is not packed.
func FuzzDelta(f *testing.F) {
	for part := range byte(3) {
		for seed := range uint64(4) {
			f.Add(part, seed, seed, []byte{}, []byte{})
			f.Add(part, seed, seed+1, []byte{}, []byte{})
			for how := range byte(7) {
				for of := range byte(4) {
					f.Add(part, seed, seed, []byte{}, []byte{of, how, 3})
					f.Add(part, seed, seed, []byte{of, how, 3}, []byte{})
					f.Add(part, seed, seed, []byte{of, how, 3}, []byte{of, 7, 0, of, how, 17})
				}
			}
		}
	}
	f.Fuzz(func(t *testing.T, part byte, templateSeed, seed uint64, templateScript, script []byte) {
		of := partShapes[int(part)%len(partShapes)]
		from, err := of.of(podtest.Filled(templateSeed)).Marshal()
		if err != nil {
			t.Skip(err)
		}
		whole, err := of.of(podtest.Filled(seed)).Marshal()
		if err != nil {
			t.Skip(err)
		}
		s := of.shape()
		if s.Fits(whole) == (of.unmarshal(whole) != nil) {
			t.Fatalf("%s: the shape fits: %t, want what client-go does with an undamaged message", of.name, s.Fits(whole))
		}
		from = protobuftest.Damaged(from, templateScript)
		if refuses(func() bool { return s.Fits(from) }) {
			return // it cannot be a template
		}
		for _, m := range [][]byte{protobuftest.Damaged(whole, script), whole, from, protobuftest.Damaged(from, script), {}} {
			comparePacked(t, s, from, m, of.unmarshal)
		}
	})
}

// comparePacked packs a message with a template, by itself and as the next state of it.
func comparePacked(t *testing.T, s *Shape, from, m []byte, unmarshal func(protobuf.Message) error) {
	t.Helper()
	made := &Template{bytes.Clone(from)}
	fits := !refuses(func() bool { return s.Fits(m) })
	if fits && refuses(func() bool { return unmarshal(m) == nil }) {
		t.Fatalf("the shape fits a message that client-go refuses: %x", m)
	}
	var w deltaWriter
	var delta []byte
	ok := !refuses(func() (ok bool) { delta, _, ok = w.write(made.Wire, m, s, math.MaxInt); return ok })
	if ok != fits {
		t.Fatalf("%x is packed with %x: %t, want %t as for the shape", m, from, ok, fits)
	}
	if ok {
		compareUnpacked(t, Part{made, string(delta)}, m)
	}
	p := NewPacker(s)
	p.last = weak.Make(made)
	for _, before := range []Part{{}, {Template: made}, {Template: &Template{bytes.Clone(m[:0])}}} {
		var now Part
		if ok := !refuses(func() (ok bool) { now, ok = p.Pack(m, before, func() uint64 { return 0 }); return ok }); ok != fits {
			t.Fatalf("%x is packed after %x: %t, want %t as for the shape", m, before.AppendTo(nil), ok, fits)
		} else if ok {
			compareUnpacked(t, now, m)
		}
	}
	if !bytes.Equal(made.Wire, from) {
		t.Fatalf("the template %x has become %x", from, made.Wire)
	}
}

func compareUnpacked(t *testing.T, p Part, m []byte) {
	t.Helper()
	head := []byte("head")
	if got := p.AppendTo(bytes.Clone(head)); !bytes.Equal(got, slices.Concat(head, m)) {
		t.Fatalf("unpacked %x, want %x", got, slices.Concat(head, m))
	}
	others := [][]byte{m, nil, slices.Concat(m, []byte{0}), p.Template.bytes()}
	if len(m) > 0 {
		first, middle, last := bytes.Clone(m), bytes.Clone(m), bytes.Clone(m)
		first[0] ^= 1
		middle[len(m)/2] ^= 1
		last[len(m)-1] ^= 1
		others = append(others, first, middle, last, m[1:], m[:len(m)-1], m[:len(m)/2])
	}
	for _, other := range others {
		if got, want := p.Equals(other), bytes.Equal(m, other); got != want {
			t.Fatalf("%x equals %x: %t, want %t", m, other, got, want)
		}
	}
}

func (t *Template) bytes() []byte {
	if t == nil {
		return nil
	}
	return t.Wire
}

// Each field of a message is checked a bounded number of times, however its fields and those of the
// template are arranged.
func TestChecksOfAHostilePart(t *testing.T) {
	const n = 1000
	checks := 0
	leaf := &Shape{unmarshal: func(protobuf.Message) error { checks++; return nil }}
	inner := new(Shape)
	inner.put(1, fieldSpec{known: true, kind: protobuf.BytesKind, shape: leaf})
	inner.put(2, fieldSpec{known: true, kind: protobuf.BytesKind, shape: leaf})
	outer := new(Shape)
	outer.put(1, fieldSpec{known: true, kind: protobuf.BytesKind, shape: inner})
	outer.put(2, fieldSpec{known: true, kind: protobuf.BytesKind, shape: inner})
	a, b := protobuftest.Within([]byte{1}, 1), protobuftest.Within([]byte{2, 3}, 2)
	parts := map[string][]byte{
		"one":       bytes.Repeat(protobuftest.Within(a, 1), n),
		"other":     bytes.Repeat(protobuftest.Within(b, 2), n),
		"in turn":   protobuftest.Alternating(n, protobuftest.Within(a, 1), protobuftest.Within(b, 2)),
		"backwards": protobuftest.Alternating(n, protobuftest.Within(b, 2), protobuftest.Within(a, 1)),
		"in one":    protobuftest.Within(protobuftest.Alternating(n, a, b), 1),
		"in other":  protobuftest.Within(protobuftest.Alternating(n, b, a), 2),
		"short":     protobuftest.Within(a, 2),
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
