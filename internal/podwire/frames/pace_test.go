// SPDX-License-Identifier: Apache-2.0

package frames

import (
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// arrivals is the body of a stream whose data arrives in pieces.
type arrivals struct {
	pieces chan []byte
	closed chan struct{}
	// onePer is true if a read returns at most one piece, as over HTTP/1.1.
	onePer bool
	rest   []byte
	// reads counts the reads that returned the beginning of a piece.
	reads int
}

func newArrivals(onePer bool) *arrivals {
	return &arrivals{pieces: make(chan []byte, 10_000), closed: make(chan struct{}), onePer: onePer}
}

func (a *arrivals) Read(p []byte) (int, error) {
	if len(a.rest) == 0 {
		a.reads++
		select {
		case piece, ok := <-a.pieces:
			if !ok {
				return 0, io.EOF
			}
			a.rest = piece
		case <-a.closed:
			return 0, io.ErrClosedPipe
		}
		for !a.onePer && len(a.pieces) > 0 {
			a.rest = append(a.rest, <-a.pieces...)
		}
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

func (a *arrivals) Close() error {
	close(a.closed)
	return nil
}

// frameAt returns a frame that says when it was sent.
func frameAt(sent time.Time) []byte {
	text := sent.Format(time.RFC3339Nano)
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...)
}

// delayOfNext returns how long after its arrival the next frame is returned.
func delayOfNext(t *testing.T, r *Reader) time.Duration {
	t.Helper()
	frame, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	arrived, err := time.Parse(time.RFC3339Nano, string(frame))
	if err != nil {
		t.Fatal(err)
	}
	return time.Since(arrived)
}

func gathering(body io.ReadCloser) *Reader {
	r := NewReader(body)
	r.Gather()
	return r
}

// While events come one by one, a read returns several of them. None is late by more than
// gatherTime, even if each read returns only one event. None is late before or after the
// busy time.
func TestPace(t *testing.T) {
	for name, onePer := range map[string]bool{"reads return all": false, "reads return one event": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				body := newArrivals(onePer)
				s := gathering(body)
				send := func(n int, interval time.Duration) {
					for range n {
						time.Sleep(interval)
						body.pieces <- frameAt(time.Now())
					}
				}
				const slow, fast, interval = 20, 2000, 5 * time.Millisecond
				go func() {
					send(slow, pauseTime)
					send(fast, interval)
					send(slow, pauseTime)
				}()
				for i := range slow {
					if delay := delayOfNext(t, s); delay != 0 {
						t.Errorf("slow event %d is late by %v, want 0", i, delay)
					}
				}
				body.reads = 0
				var late int
				for i := range fast {
					delay := delayOfNext(t, s)
					if delay > gatherTime || delay > 0 && i < int(busyTime/interval)-1 {
						t.Errorf("fast event %d is late by %v, want at most %v, and 0 in the first %v", i, delay, gatherTime, busyTime)
					}
					if delay > 0 {
						late++
					}
				}
				// A read after a wait returns five events or more, and the next one blocks for another.
				if most := fast * 2 / 5; !onePer && body.reads > most {
					t.Errorf("%d reads for %d events, want at most %d", body.reads, fast, most)
				}
				if late < fast/2 {
					t.Errorf("%d of %d events were gathered, want most", late, fast)
				}
				for i := range slow {
					if delay := delayOfNext(t, s); delay != 0 && i > 0 {
						t.Errorf("slow event %d after the busy time is late by %v, want 0", i, delay)
					}
				}
			})
		})
	}
}

// busyReader returns a Reader whose next read waits.
func busyReader(t *testing.T) (*Reader, *arrivals) {
	t.Helper()
	body := newArrivals(false)
	s := gathering(body)
	go func() {
		for range 100 {
			time.Sleep(time.Millisecond * 5)
			body.pieces <- frameAt(time.Now())
		}
	}()
	for !s.in.pace.blocked || s.in.pace.last.Sub(s.in.pace.busySince) < busyTime || s.in.from < s.in.to {
		delayOfNext(t, s)
	}
	return s, body
}

// Close ends a wait at once.
func TestPaceEndsWithTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := busyReader(t)
		began := time.Now()
		time.AfterFunc(time.Millisecond, func() { s.Close() })
		_, err := s.Next()
		if took := time.Since(began); !errors.Is(err, io.ErrClosedPipe) || took != time.Millisecond {
			t.Errorf("Next: %v after %v, want %v after 1ms", err, took, io.ErrClosedPipe)
		}
		time.Sleep(time.Second) // until the last piece has arrived
	})
}

// The end of a stream comes after its last event, and is late by at most gatherTime.
func TestPaceBeforeTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, body := busyReader(t)
		time.Sleep(time.Second) // all others have arrived
		synctest.Wait()
		body.pieces <- frameAt(time.Now())
		close(body.pieces)
		began := time.Now()
		events := 0
		for {
			_, err := s.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			events++
		}
		if took := time.Since(began); took > gatherTime || events < 2 {
			t.Errorf("%d events and the end after %v, want at least 2, and at most %v", events, took, gatherTime)
		}
	})
}
