// SPDX-License-Identifier: Apache-2.0

package frames

import (
	"io"
	"sync"
	"time"
)

const (
	// smallRead is the size of the buffer with which a stream waits for an event.
	smallRead = 1 << 10
	// bigRead is the size of the buffer while data arrives faster than it is decoded. Over
	// HTTP/2 each read may send the server a window update, so few large reads are cheaper.
	bigRead = 64 << 10
	// maxEmptyReads is how often in a row a reader may return neither data nor an error.
	maxEmptyReads = 100
)

// bigBuffers are shared by all streams: a thousand idle streams need none of them.
var bigBuffers = sync.Pool{New: func() any { return new([bigRead]byte) }}

// A buffer is a bufio.Reader whose buffer is small while its stream is idle. A read that
// does not fill the big buffer has read all that had arrived.
type buffer struct {
	in    io.Reader
	small []byte
	// big is nil while small is in use.
	big *[bigRead]byte

	// from and to are the place of the data in the buffer that is in use.
	from, to int
	// last is the number of bytes of the last read.
	last int
	err  error

	pace *pace
	// paced is true if a read may wait for more data to arrive.
	paced bool
}

func newBuffer(in io.Reader) *buffer {
	return &buffer{in: in, small: make([]byte, smallRead), pace: newPace()}
}

// peek returns the next n bytes, at most bigRead, without consuming them. If there are fewer,
// it returns those with the error. The bytes are valid until the next call.
func (b *buffer) peek(n int) ([]byte, error) {
	for b.to-b.from < n {
		if b.err != nil {
			err := b.err
			b.err = nil
			return b.inUse()[b.from:b.to], err
		}
		b.fill(n)
	}
	return b.inUse()[b.from : b.from+n], nil
}

// discard consumes bytes that peek has returned.
func (b *buffer) discard(n int) { b.from += n }

// Read implements io.Reader.
func (b *buffer) Read(p []byte) (int, error) {
	if b.from == b.to {
		if err := b.err; err != nil {
			b.err = nil
			return 0, err
		}
		return b.in.Read(p)
	}
	n := copy(p, b.inUse()[b.from:b.to])
	b.from += n
	return n, nil
}

func (b *buffer) inUse() []byte {
	if b.big != nil {
		return b.big[:]
	}
	return b.small
}

// fill reads once. Afterwards the buffer has room for n bytes. Before a new frame it may wait for
// more data to arrive.
func (b *buffer) fill(n int) {
	had := b.to - b.from
	if b.big != nil && had == 0 && n <= smallRead && b.to < bigRead {
		b.release()
	}
	paced := b.paced && had == 0
	if paced {
		b.pace.wait()
	}
	b.makeRoom(n)
	if !paced {
		b.read()
		return
	}
	began := time.Now()
	b.read()
	b.pace.returned(began)
}

// makeRoom moves the data in the buffer to the beginning of a buffer that has room for n bytes.
func (b *buffer) makeRoom(n int) {
	data := b.inUse()[b.from:b.to]
	if b.big == nil && (n > smallRead || b.last == smallRead || b.paced && b.pace.waited) {
		b.big = bigBuffers.Get().(*[bigRead]byte)
	}
	b.from, b.to = 0, copy(b.inUse(), data)
}

// read reads once, behind the data in the buffer.
func (b *buffer) read() {
	data := b.inUse()
	for range maxEmptyReads {
		read, err := b.in.Read(data[b.to:])
		b.to, b.last, b.err = b.to+read, read, err
		if read > 0 || err != nil {
			return
		}
	}
	b.err = io.ErrNoProgress
}

// release gives the big buffer back. No data is in it.
func (b *buffer) release() {
	bigBuffers.Put(b.big)
	b.big, b.from, b.to = nil, 0, 0
}
