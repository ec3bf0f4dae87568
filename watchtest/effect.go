// SPDX-License-Identifier: Apache-2.0

package watchtest

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// An Effect changes the answer to a request. A [Fault] applies it to requests, and
// [Server.Strike] applies it to open streams. In a stream it takes its place in the order
// of events: earlier events arrive before it.
type Effect struct {
	kind   effectKind
	err    error         // breaking
	late   bool          // breaking: only after the headers were sent
	status metav1.Status // answering, sending
	raw    []byte        // sendingRaw
	bytes  int           // slow
	events int           // lose
	pause  time.Duration // slow, delay, idle, limit
	then   *Effect       // idle, limit
}

type effectKind int

const (
	none effectKind = iota
	answering
	breaking
	hang
	delay
	silence
	slow
	tear
	malform
	sending
	sendingRaw
	omitInitialEnd
	omitBookmarks
	lose
	idle
	limit
	holdHeaders
)

// errTorn is the error of Go's HTTP client for a connection that ends too early.
var errTorn = io.ErrUnexpectedEOF

// Answer answers a request with an error, and with the Retry-After header if the status has
// a delay. An open stream has its answer already and receives the status in an ERROR event
// instead. Use a function like [apierrors.NewForbidden], [apierrors.NewTooManyRequests] or
// [apierrors.NewResourceExpired] for the argument, or create an [apierrors.StatusError].
func Answer(status apierrors.APIStatus) Effect {
	return Effect{kind: answering, status: failure(status)}
}

// SendError inserts an ERROR event with the status into a stream. The stream then continues,
// although a real server would end it.
func SendError(status apierrors.APIStatus) Effect {
	return Effect{kind: sending, status: failure(status)}
}

// SendRaw inserts foreign bytes into a body. In a protobuf stream a client takes the first
// four for the length of a frame and waits for as many more, so after most texts it waits
// instead of failing.
func SendRaw(data []byte) Effect {
	return Effect{kind: sendingRaw, raw: data}
}

// Break breaks the connection. A request fails with the error, and reading an open stream
// fails with it between two frames. The frames that a silent stream holds back are lost.
func Break(err error) Effect {
	return Effect{kind: breaking, err: err}
}

// Refuse is a [Break] with the error of an address without a listener.
func Refuse() Effect {
	return Break(&net.OpError{Op: "dial", Net: "tcp", Err: fmt.Errorf("watchtest: %w", syscall.ECONNREFUSED)})
}

// Reset is a [Break] with the error of a peer that has crashed.
func Reset() Effect {
	return Break(&net.OpError{Op: "read", Net: "tcp", Err: fmt.Errorf("watchtest: %w", syscall.ECONNRESET)})
}

// Cut ends a body normally, and a stream between two frames. Load balancers do this, and
// servers that shut down. A watch with this effect from the start is accepted and then ends.
// Use Break(io.EOF) for a connection that ends before the watch is accepted.
func Cut() Effect {
	return Effect{kind: breaking, err: io.EOF, late: true}
}

// Tear breaks the connection in the middle of the next frame, or of the body.
func Tear() Effect {
	return Effect{kind: tear}
}

// Malform damages the next object. Its frame is complete and contains the right kind, but a
// client cannot decode the object.
func Malform() Effect {
	return Effect{kind: malform}
}

// Silence keeps the connection open and sends nothing more: no events, no bookmarks, no
// end. Headers are sent, but no body. When it is lifted, everything that was held back
// arrives at once.
func Silence() Effect {
	return Effect{kind: silence}
}

// Hang blocks a request before the first byte of the answer, until the effect is lifted or
// the client gives up. On an open stream it is the same as [Silence].
func Hang() Effect {
	return Effect{kind: hang}
}

// Delay delays the answer to a request. It does not affect open streams.
func Delay(d time.Duration) Effect {
	return Effect{kind: delay, pause: d}
}

// Slow sends a body in parts of the given number of bytes, with a pause after each part.
func Slow(bytes int, pause time.Duration) Effect {
	return Effect{kind: slow, bytes: bytes, pause: pause}
}

// OmitInitialEventsEnd removes the bookmark that ends the initial events from a streaming
// list. Everything else arrives.
func OmitInitialEventsEnd() Effect {
	return Effect{kind: omitInitialEnd}
}

// OmitBookmarks removes all bookmarks from a stream, except the bookmark that ends the
// initial events. kube-apiserver sends no bookmarks to a resumed watch while the resource
// version does not move, and none to a watch from a future version until it is reached.
func OmitBookmarks() Effect {
	return Effect{kind: omitBookmarks}
}

// Lose removes the next n events from a stream, as a server or a proxy with a defect does. The
// events after them and all bookmarks arrive, and nothing shows the loss to the client. It does
// not affect other requests.
func Lose(n int) Effect {
	return Effect{kind: lose, events: n}
}

// Idle applies another effect to a stream each time that the stream has sent nothing for d,
// like a proxy with an idle timeout. Idle(d, Cut()) ends idle streams normally, and
// Idle(d, Reset()) breaks their connections. It does not affect other requests.
func Idle(d time.Duration, then Effect) Effect {
	return Effect{kind: idle, pause: d, then: &then}
}

// Limit applies another effect to a stream once it has been open for d, however much it has
// sent, like a proxy with a limit for the whole request. It does not affect other requests.
func Limit(d time.Duration, then Effect) Effect {
	return Effect{kind: limit, pause: d, then: &then}
}

// HoldHeaders holds back the answer to a WATCH until the stream has sent its first byte, or
// has ended. nginx does this with an upstream that speaks HTTP/1.1. It does not affect open
// streams.
func HoldHeaders() Effect {
	return Effect{kind: holdHeaders}
}

// failure sets the fields without which a client does not treat a status as an error.
func failure(err apierrors.APIStatus) metav1.Status {
	status := err.Status()
	if status.Status == "" {
		status.Status = metav1.StatusFailure
	}
	if status.Code == 0 {
		status.Code = http.StatusInternalServerError
	}
	return status
}

func statusError(status metav1.Status) *apierrors.StatusError {
	return &apierrors.StatusError{ErrStatus: status}
}
