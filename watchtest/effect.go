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

// An Effect is what a [Fault] does to a request, or what [Server.Strike] does
// to open streams. In a stream it happens in order: events from before arrive
// before it.
type Effect struct {
	kind   effectKind
	err    error         // breaking
	late   bool          // breaking: not before the headers are out
	status metav1.Status // answering, sending
	raw    []byte        // sendingRaw
	bytes  int           // slow
	pause  time.Duration // slow, delay, idle
	then   *Effect       // idle
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
	idle
)

// errTorn is what Go's HTTP client reports when a connection ends too early.
var errTorn = io.ErrUnexpectedEOF

// Answer is an error answer, with the Retry-After header if the status has a
// delay. An open stream, which has its answer already, gets the status in an
// ERROR event instead. Functions such as [apierrors.NewForbidden],
// [apierrors.NewTooManyRequests] and [apierrors.NewResourceExpired] make good
// arguments; anything else goes into an [apierrors.StatusError].
func Answer(status apierrors.APIStatus) Effect {
	return Effect{kind: answering, status: failure(status)}
}

// SendError puts an ERROR event with the status into a stream. The stream then
// goes on, though no real server's would.
func SendError(status apierrors.APIStatus) Effect {
	return Effect{kind: sending, status: failure(status)}
}

// SendRaw inserts foreign bytes into a body. In a protobuf stream a client takes the first
// four for the length of a frame and waits for as many more, so after most texts it waits
// instead of failing.
func SendRaw(data []byte) Effect {
	return Effect{kind: sendingRaw, raw: data}
}

// Break is a failure of the connection. A request fails with the error, and so
// does reading an open stream, between two frames. What a silent stream has
// held back is lost.
func Break(err error) Effect {
	return Effect{kind: breaking, err: err}
}

// Refuse is a [Break] like that of an address without a listener.
func Refuse() Effect {
	return Break(&net.OpError{Op: "dial", Net: "tcp", Err: fmt.Errorf("watchtest: %w", syscall.ECONNREFUSED)})
}

// Reset is a [Break] as by a peer that has crashed.
func Reset() Effect {
	return Break(&net.OpError{Op: "read", Net: "tcp", Err: fmt.Errorf("watchtest: %w", syscall.ECONNRESET)})
}

// Cut ends a body in good order, a stream between two frames: what load
// balancers and servers that shut down do. A watch that it strikes at once is
// accepted and ends; for a connection that ends before that, use Break(io.EOF).
func Cut() Effect {
	return Effect{kind: breaking, err: io.EOF, late: true}
}

// Tear breaks the connection in the middle of the next frame, or of the body.
func Tear() Effect {
	return Effect{kind: tear}
}

// Malform damages the next object on its way: its frame is whole and names the
// right kind, but the object in it cannot be decoded.
func Malform() Effect {
	return Effect{kind: malform}
}

// Silence keeps the connection open and sends nothing more: no events, no bookmarks, no
// end. Headers are sent, but no body. When it is lifted, everything that was held back
// arrives at once.
func Silence() Effect {
	return Effect{kind: silence}
}

// Hang holds a request up before the first byte of an answer, until it is
// lifted or the client gives up. An open stream falls silent.
func Hang() Effect {
	return Effect{kind: hang}
}

// Delay delays the answer to a request. It does not affect open streams.
func Delay(d time.Duration) Effect {
	return Effect{kind: delay, pause: d}
}

// Slow sends a body in parts of so many bytes, with a pause after each part.
func Slow(bytes int, pause time.Duration) Effect {
	return Effect{kind: slow, bytes: bytes, pause: pause}
}

// OmitInitialEventsEnd keeps from a streaming list the bookmark that ends its
// initial events. All else arrives.
func OmitInitialEventsEnd() Effect {
	return Effect{kind: omitInitialEnd}
}

// OmitBookmarks removes all bookmarks from a stream, except the bookmark that ends the
// initial events. kube-apiserver sends no bookmarks to a resumed watch while the resource
// version does not move, and none to a watch from a future version until it is reached.
func OmitBookmarks() Effect {
	return Effect{kind: omitBookmarks}
}

// Idle lets another effect happen to a stream each time that nothing was sent in
// it for d, as a proxy with an idle timeout does: Idle(d, Cut()) ends such streams
// in good order, Idle(d, Reset()) breaks their connection. Requests that are no
// streams are not affected.
func Idle(d time.Duration, then Effect) Effect {
	return Effect{kind: idle, pause: d, then: &then}
}

// failure fills in what a status must have for a client to take it as an error.
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
