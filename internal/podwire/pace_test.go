// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
)

// arrivals is the body of a stream whose data arrives in pieces.
type arrivals struct {
	pieces chan []byte
	closed chan struct{}
	onePer bool // a read returns at most one piece, as over HTTP/1.1
	rest   []byte
	reads  int // that returned the beginning of a piece
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

// podFrame returns a frame with an event of a pod that was created at a time.
func podFrame(t *testing.T, created time.Time) []byte {
	t.Helper()
	info, _ := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), runtime.ContentTypeProtobuf)
	encoder := scheme.Codecs.EncoderForVersion(info.Serializer, corev1.SchemeGroupVersion)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: created.Format(time.RFC3339Nano), UID: "1", ResourceVersion: "1"}}
	raw, err := runtime.Encode(encoder, pod)
	if err != nil {
		t.Fatal(err)
	}
	event, err := (&metav1.WatchEvent{Type: "MODIFIED", Object: runtime.RawExtension{Raw: raw}}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	// The serializer of a watch puts an envelope around an object, but not around an event.
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(event))), event...)
}

// delayOfNext returns how long after its arrival the next event is returned.
func delayOfNext(t *testing.T, s *Stream) time.Duration {
	t.Helper()
	event, err := s.Next()
	if err != nil {
		t.Fatal(err)
	}
	arrived, err := time.Parse(time.RFC3339Nano, event.Object.(*Pod).Name)
	if err != nil {
		t.Fatal(err)
	}
	return time.Since(arrived)
}

func streamOf(body io.ReadCloser) *Stream {
	codecs := scheme.Codecs.WithoutConversion()
	negotiator := NewNegotiator(runtime.NewClientNegotiator(codecs, corev1.SchemeGroupVersion), Wire, nil, nil, func(string) {})
	s := negotiator.Stream(body)
	s.Gather()
	return s
}

// While events come one by one, a read returns several of them. None is late by more than
// gatherTime, even if each read returns only one event. None is late before or after the
// busy time.
func TestPace(t *testing.T) {
	for name, onePer := range map[string]bool{"reads return all": false, "reads return one event": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				body := newArrivals(onePer)
				s := streamOf(body)
				send := func(n int, interval time.Duration) {
					for range n {
						time.Sleep(interval)
						body.pieces <- podFrame(t, time.Now())
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

// busyStream returns a stream whose next read waits.
func busyStream(t *testing.T) (*Stream, *arrivals) {
	t.Helper()
	body := newArrivals(false)
	s := streamOf(body)
	go func() {
		for range 100 {
			time.Sleep(time.Millisecond * 5)
			body.pieces <- podFrame(t, time.Now())
		}
	}()
	for !s.pace.blocked || s.pace.last.Sub(s.pace.busySince) < busyTime || s.in.from < s.in.to {
		delayOfNext(t, s)
	}
	return s, body
}

// Close ends a wait at once.
func TestPaceEndsWithTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := busyStream(t)
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
		s, body := busyStream(t)
		time.Sleep(time.Second) // all others have arrived
		synctest.Wait()
		body.pieces <- podFrame(t, time.Now())
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
