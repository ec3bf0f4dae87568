// SPDX-License-Identifier: Apache-2.0

package packing

import (
	"bytes"
	"hash/maphash"
	"slices"
	"weak"

	"github.com/executorpods/watchsource/internal/podwire/protobuf"
)

const (
	// sketchSize is the number of hashes of fields by which a template is found.
	sketchSize = 8
	// smallField is the length up to which a message in a field is hashed as a whole. Of a longer
	// message each field is hashed.
	smallField = 64
	// leastIndexed is the size of the index below which the packer does not look for freed templates.
	leastIndexed = 1024
	// LongestMemory is the largest size of the memory that is kept for the next part, and by a
	// decoder for the next pod.
	LongestMemory = 64 << 10
)

// A Packer packs one part of all pods: their metadata, specs or statuses. It finds a similar
// template by hashes, which are only hints: the delta decides. The index has weak pointers, so a
// template is freed with the last pod that uses it.
type Packer struct {
	shape *Shape
	seed  maphash.Seed
	// last is the template that packAnew used last.
	last weak.Pointer[Template]
	// index has the templates by the hashes of their sketches and kinds.
	index map[uint64]weak.Pointer[Template]
	// sweep is the size of the index at which to remove freed templates.
	sweep int
	delta deltaWriter
	// best is the shortest delta that find has seen.
	best []byte
}

// NewPacker returns a Packer for parts of a shape.
func NewPacker(s *Shape) Packer {
	return Packer{shape: s, seed: maphash.MakeSeed(), index: map[uint64]weak.Pointer[Template]{}, sweep: leastIndexed}
}

// Pack packs a part whose last state was before. It returns before itself if the part has not
// changed, and false if the part does not have the shape. kind returns a hash that similar parts
// have in common. Pack does not keep m.
func (p *Packer) Pack(m protobuf.Message, before Part, kind func() uint64) (Part, bool) {
	if len(m) == 0 {
		return Part{}, true
	}
	if before.Template == nil || !before.Template.isFor(m) {
		return p.packAnew(m, kind)
	}
	limit := max(len(m)/4, min(len(before.Delta)+len(before.Delta)/8, len(m)/2))
	delta, short, ok := p.delta.write(before.Template.Wire, m, p.shape, limit)
	switch {
	case !ok:
		return Part{}, false
	case !short:
		return p.packAnew(m, kind)
	case before.Delta == string(delta):
		return before, true
	default:
		return Part{before.Template, string(delta)}, true
	}
}

// packAnew packs a part with the template that was used last, or else with the most similar one. If
// no template is similar, the part becomes a template.
func (p *Packer) packAnew(m protobuf.Message, kind func() uint64) (Part, bool) {
	if last := p.last.Value(); last == nil || !last.isFor(m) {
		if !p.shape.Fits(m) {
			return Part{}, false
		}
	} else if delta, short, ok := p.delta.write(last.Wire, m, p.shape, len(m)/4); !ok || short {
		return Part{last, string(delta)}, ok
	}
	hashes := append(p.sketch(m), kind())
	best := p.find(m, hashes)
	if best == nil {
		best, p.best = &Template{bytes.Clone(m)}, p.best[:0]
		p.add(best, hashes)
	}
	p.last = weak.Make(best)
	return Part{best, string(p.best)}, true
}

// find returns the template with the shortest delta, and leaves that delta in p.best. It returns
// nil if no delta is shorter than a third of the part. A delta of a quarter ends the search.
func (p *Packer) find(m protobuf.Message, hashes []uint64) (best *Template) {
	limit := len(m) / 3
	for i, hash := range slices.Backward(hashes) {
		t := p.index[hash].Value()
		if t == nil || !t.isFor(m) || slices.ContainsFunc(hashes[i+1:], func(other uint64) bool { return p.index[other].Value() == t }) {
			continue
		}
		if delta, short, _ := p.delta.write(t.Wire, m, p.shape, limit); short {
			best, limit = t, len(delta)
			p.best = append(p.best[:0], delta...)
		}
		if limit <= len(m)/4 {
			break
		}
	}
	return best
}

// add adds a template to the index. It replaces older templates with the same hashes.
func (p *Packer) add(t *Template, hashes []uint64) {
	if len(p.index) >= p.sweep {
		p.forget()
	}
	for _, hash := range hashes {
		p.index[hash] = weak.Make(t)
	}
}

// forget removes freed templates from the index. The next removal is due when the index has
// doubled.
func (p *Packer) forget() {
	for hash, t := range p.index {
		if t.Value() == nil {
			delete(p.index, hash)
		}
	}
	p.sweep = max(leastIndexed, 2*len(p.index))
}

// Memory returns the size of the memory that is kept for the next part.
func (p *Packer) Memory() int { return cap(p.best) + cap(p.delta.delta) + cap(p.delta.add) }

// Indexed returns the number of hashes by which templates are found.
func (p *Packer) Indexed() int { return len(p.index) }

// Shrink frees the memory that an unusually large part has needed.
func (p *Packer) Shrink() {
	if p.Memory() > LongestMemory {
		p.best, p.delta = nil, deltaWriter{}
	}
}

// sketch returns the smallest hashes of the fields of a valid part, in their order. Parts that have
// most of their fields in common have most of these hashes in common.
func (p *Packer) sketch(m protobuf.Message) []uint64 {
	return p.addHashes(make([]uint64, 0, sketchSize+2), m, p.shape)
}

func (p *Packer) addHashes(sketch []uint64, m protobuf.Message, s *Shape) []uint64 {
	for f := range m.Fields() {
		if part := s.message(f); part != nil && len(f.Whole) > smallField {
			sketch = p.addHashes(sketch, f.Value, part)
			continue
		}
		hash := maphash.Bytes(p.seed, f.Whole)
		if i, has := slices.BinarySearch(sketch, hash); !has && i < sketchSize {
			sketch = slices.Insert(sketch, i, hash)[:min(len(sketch)+1, sketchSize)]
		}
	}
	return sketch
}
