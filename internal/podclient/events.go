// SPDX-License-Identifier: Apache-2.0

package podclient

import (
	"context"
	"fmt"
	"io"
	"reflect"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/executorpods/watchsource/internal/failure"
	"github.com/executorpods/watchsource/internal/podwire"
	"github.com/executorpods/watchsource/internal/request"
)

// Events are the events of one watch.
type Events interface {
	// Next waits for the next event, and returns io.EOF after the last.
	Next() (watch.Event, error)
	// Close ends the watch, and returns when the client has ended it too.
	Close()
}

// PodOf returns the pod that an event is about, or the error that it is.
func PodOf(event watch.Event) (*podwire.Pod, error) {
	switch event.Type {
	case watch.Error:
		return nil, apierrors.FromObject(event.Object)
	case watch.Added, watch.Modified, watch.Deleted, watch.Bookmark:
		if pod, ok := podwire.From(event.Object); ok {
			return pod, nil
		}
		return nil, fmt.Errorf("%w: %s event with a %T in place of a pod", failure.ErrNotUnderstood, event.Type, event.Object)
	default:
		return nil, fmt.Errorf("%w: event of type %q", failure.ErrNotUnderstood, event.Type)
	}
}

// wireEvents reads a watch from its connection, in the goroutine that asks for
// the next event.
type wireEvents struct {
	*podwire.Stream
	release func() bool
}

func newWireEvents(ctx context.Context, s *podwire.Stream) *wireEvents {
	// For a transport that does not end with the context, as net/http's does.
	return &wireEvents{s, context.AfterFunc(ctx, func() { s.Close() })}
}

func (e *wireEvents) Close() {
	e.release()
	e.Stream.Close()
}

// clientEvents are those of a watch that client-go or a fake reads in another
// goroutine.
type clientEvents struct {
	watch.Interface
	ctx    context.Context
	cancel context.CancelFunc
}

// emptyWatch is what client-go returns, without an error, if the connection was
// closed each time before there was an answer (rest.Request.Watch).
var emptyWatch = reflect.TypeOf(watch.NewEmptyWatch())

// newClientEvents opens a watch. An empty one is an error, but from a fake.
func newClientEvents(ctx context.Context, fake bool, open func(context.Context) (watch.Interface, error)) (Events, error) {
	ctx, cancel := context.WithCancel(ctx)
	w, err := open(ctx)
	switch {
	case err != nil:
	case w == nil:
		err = failure.ErrNilWatch
	case !fake && reflect.TypeOf(w) == emptyWatch:
		err = failure.ErrHungUp
	}
	if err != nil {
		cancel()
		return nil, err
	}
	return &clientEvents{w, ctx, cancel}, nil
}

func (e *clientEvents) Next() (watch.Event, error) {
	select {
	case event, open := <-e.ResultChan():
		if !open {
			return event, io.EOF
		}
		return event, nil
	case <-e.ctx.Done():
		return watch.Event{}, e.ctx.Err()
	}
}

// Close waits until the client has closed the channel of the watch. Real clients do it at once. A
// fake may not do it at all.
func (e *clientEvents) Close() {
	e.cancel()
	e.Stop()
	timer := time.NewTimer(request.Grace)
	defer timer.Stop()
	for {
		select {
		case _, open := <-e.ResultChan():
			if !open {
				return
			}
		case <-timer.C:
			return
		}
	}
}
