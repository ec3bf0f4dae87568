// SPDX-License-Identifier: Apache-2.0

package frames

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"
)

// A buffer returns the same bytes as its reader, whatever the sizes of the reads and of
// the peeks.
func TestReadBuffer(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	want := make([]byte, 1<<20)
	for i := range want {
		want[i] = byte(random.Uint32())
	}
	for name, reader := range map[string]func(io.Reader) io.Reader{
		"all at once":          func(r io.Reader) io.Reader { return r },
		"half of each read":    iotest.HalfReader,
		"data with the error":  iotest.DataErrReader,
		"reads of random size": func(r io.Reader) io.Reader { return &randomReader{r, random} },
	} {
		b := newBuffer(reader(bytes.NewReader(want)))
		var got []byte
		for len(got) < len(want) {
			if random.IntN(8) == 0 {
				part := make([]byte, random.IntN(3*smallRead)+1)
				n, err := b.Read(part)
				if err != nil && !errors.Is(err, io.EOF) {
					t.Fatalf("%s: Read: %v", name, err)
				}
				got = append(got, part[:n]...)
				continue
			}
			size := random.IntN(bigRead) + 1
			if random.IntN(2) == 0 {
				size = random.IntN(smallRead) + 1
			}
			part, err := b.peek(size)
			if err != nil && (!errors.Is(err, io.EOF) || len(got)+len(part) != len(want)) {
				t.Fatalf("%s: peek: %d bytes after %d of %d, error %v", name, len(part), len(got), len(want), err)
			}
			got = append(got, part...)
			b.discard(len(part))
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: other bytes than those of the reader, want the same", name)
		}
		if part, err := b.peek(1); len(part) != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("%s: at the end %d bytes and error %v, want io.EOF", name, len(part), err)
		}
	}
}

type randomReader struct {
	in     io.Reader
	random *rand.Rand
}

func (r *randomReader) Read(p []byte) (int, error) {
	return r.in.Read(p[:min(len(p), r.random.IntN(2*smallRead))])
}

// A stream holds a big buffer while much arrives, and gives it back for the first wait after
// that.
func TestReadBufferIsSmallWhenIdle(t *testing.T) {
	in, out := io.Pipe()
	defer out.Close()
	b := newBuffer(in)
	wasBig := false
	for _, size := range []int{100, bigRead, 100, 100, bigRead / 2, 100} {
		go out.Write(make([]byte, size))
		for size > 0 {
			part, err := b.peek(min(size, 50))
			if err != nil {
				t.Fatal(err)
			}
			b.discard(len(part))
			size -= len(part)
			wasBig = wasBig || b.big != nil
		}
	}
	if !wasBig {
		t.Error("the buffer was never big, want it big while much arrives")
	}
	if b.big != nil {
		t.Error("the idle stream has a big buffer, want a small one")
	}
}

func TestReadBufferWithoutProgress(t *testing.T) {
	b := newBuffer(emptyReader{})
	if _, err := b.peek(1); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("error %v, want io.ErrNoProgress", err)
	}
}

type emptyReader struct{}

func (emptyReader) Read([]byte) (int, error) { return 0, nil }
