// SPDX-License-Identifier: Apache-2.0

package podclient

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"github.com/executorpods/watchsource/internal/failure"
)

// Frames of HTTP/2 (RFC 9113), and their flags and codes.
const (
	dataFrame     = 0x0
	headersFrame  = 0x1
	resetFrame    = 0x3
	settingsFrame = 0x4
	goAwayFrame   = 0x7

	ack        = 0x1
	endStream  = 0x1
	endHeaders = 0x4

	noError         = 0x0
	internalError   = 0x2
	enhanceYourCalm = 0xb
)

// The errors of HTTP/2 have types that no other package can name, in x/net and since Go 1.27 in
// net/http. The frames show that a connection which a server gives up is taken for that with
// each of them.
func TestEndsOfHTTP2(t *testing.T) {
	for _, test := range []struct {
		name string
		// answer returns the frames that the server sends. Then it closes the connection, unless open is set.
		answer func(stream uint32) []byte
		open   bool
		events int
		// whole is set if the watch ends as if the server had ended it.
		whole bool
	}{
		{name: "a GOAWAY that covers the watch", open: true, events: 2, whole: true, answer: func(stream uint32) []byte {
			return slices.Concat(headers(stream), bookmark(t, stream, 0), goAway(stream, noError), bookmark(t, stream, endStream))
		}},
		{name: "the same, and the connection closes", events: 2, answer: func(stream uint32) []byte {
			return slices.Concat(headers(stream), bookmark(t, stream, 0), goAway(stream, noError), bookmark(t, stream, 0))
		}},
		{name: "a GOAWAY that does not cover the watch", open: true, answer: func(stream uint32) []byte {
			return slices.Concat(headers(stream), goAway(0, noError))
		}},
		{name: "a GOAWAY with an error", open: true, answer: func(stream uint32) []byte {
			return slices.Concat(headers(stream), goAway(0, enhanceYourCalm))
		}},
		{name: "a GOAWAY with an error before the answer", open: true, answer: func(uint32) []byte { return goAway(0, enhanceYourCalm) }},
		{name: "a GOAWAY with an error that covers the request", answer: func(stream uint32) []byte { return goAway(stream, internalError) }},
		{name: "a stream that is reset", open: true, events: 1, answer: func(stream uint32) []byte {
			return slices.Concat(headers(stream), bookmark(t, stream, 0), reset(stream))
		}},
		{name: "a stream that is reset before the answer", open: true, answer: reset},
		{name: "a connection that closes", events: 1, answer: func(stream uint32) []byte {
			return slices.Concat(headers(stream), bookmark(t, stream, 0))
		}},
		{name: "a connection that closes before the answer", answer: func(uint32) []byte { return nil }},
	} {
		t.Run(test.name, func(t *testing.T) {
			pods := http2Pods(t, test.answer, test.open)
			events, err := watched(t, pods)
			t.Log(err)
			if events != test.events {
				t.Errorf("%d events, want %d", events, test.events)
			}
			if test.whole != (err == io.EOF) { // a wrapped one is another end
				t.Errorf("the end %v, want io.EOF only of a watch that the server ended", err)
			}
			if !failure.ConnectionBroke(err) || !failure.Unreachable(err) || failure.Answered(err) {
				t.Errorf("%v is not taken for a connection that broke", err)
			}
		})
	}
}

// watched opens a watch, and returns the number of its events and its end.
func watched(t *testing.T, pods Client) (n int, err error) {
	t.Helper()
	events, err := pods.Watch(t.Context(), metav1.ListOptions{ResourceVersion: "1"})
	if err != nil {
		return 0, err
	}
	defer events.Close()
	for {
		event, err := events.Next()
		if err != nil {
			return n, err
		}
		if event.Type != watch.Bookmark {
			t.Errorf("the event %v, want a bookmark", event)
		}
		n++
	}
}

// http2Pods returns a client of a server that answers each request with the same frames.
func http2Pods(t *testing.T, answer func(stream uint32) []byte, open bool) Client {
	t.Helper()
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = &tls.Config{NextProtos: []string{"h2"}}
	server.Config.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){
		"h2": func(_ *http.Server, conn *tls.Conn, _ http.Handler) { serveHTTP2(conn, answer, open) },
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	client, err := kubernetes.NewForConfig(&rest.Config{Host: server.URL, TLSClientConfig: rest.TLSClientConfig{Insecure: true}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.CoreV1().RESTClient().(*rest.RESTClient).Client.CloseIdleConnections() })
	pods := New(Config{Client: client, Namespace: "jobs"})
	if _, ok := pods.(*wirePods); !ok {
		t.Fatalf("the client is a %T", pods)
	}
	return pods
}

// serveHTTP2 answers the first request of a connection.
func serveHTTP2(conn *tls.Conn, answer func(stream uint32) []byte, open bool) {
	defer conn.Close()
	const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	if _, err := io.CopyN(io.Discard, conn, int64(len(preface))); err != nil {
		return
	}
	conn.Write(frame(settingsFrame, 0, 0))
	for {
		var header [9]byte
		if _, err := io.ReadFull(conn, header[:]); err != nil {
			return
		}
		length := int64(header[0])<<16 | int64(header[1])<<8 | int64(header[2])
		if _, err := io.CopyN(io.Discard, conn, length); err != nil {
			return
		}
		switch kind, flags := header[3], header[4]; {
		case kind == settingsFrame && flags&ack == 0:
			conn.Write(frame(settingsFrame, ack, 0))
		case kind == headersFrame:
			conn.Write(answer(binary.BigEndian.Uint32(header[5:])))
			if !open { // the client is sent all before it sees the end
				conn.CloseWrite()
			}
		}
	}
}

func frame(kind, flags byte, stream uint32, payload ...byte) []byte {
	n := len(payload)
	head := []byte{byte(n >> 16), byte(n >> 8), byte(n), kind, flags}
	return append(binary.BigEndian.AppendUint32(head, stream), payload...)
}

// headers is the answer 200 with a stream in protobuf, in HPACK (RFC 7541): the names and the
// status come from its static table.
func headers(stream uint32) []byte {
	const mediaType = runtime.ContentTypeProtobuf + ";stream=watch"
	block := append([]byte{0x88, 0x0f, 31 - 15, byte(len(mediaType))}, mediaType...)
	return frame(headersFrame, endHeaders, stream, block...)
}

func goAway(last, code uint32) []byte {
	return frame(goAwayFrame, 0, 0, binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, last), code)...)
}

func reset(stream uint32) []byte {
	return frame(resetFrame, 0, stream, binary.BigEndian.AppendUint32(nil, internalError)...)
}

// bookmark is an event of a watch.
func bookmark(t *testing.T, stream uint32, flags byte) []byte {
	t.Helper()
	pod := &corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: metav1.ObjectMeta{ResourceVersion: "9"}}
	object, err := runtime.Encode(protobuf.NewSerializer(scheme.Scheme, scheme.Scheme), pod)
	event := metav1.WatchEvent{Type: string(watch.Bookmark), Object: runtime.RawExtension{Raw: object}}
	body, eventErr := event.Marshal()
	if err := errors.Join(err, eventErr); err != nil {
		t.Fatal(err)
	}
	return frame(dataFrame, flags, stream, append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)...)
}
