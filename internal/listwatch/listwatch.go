// SPDX-License-Identifier: Apache-2.0

// Package listwatch lists the pods that a label selector selects, watches them,
// resumes where a watch has ended, and lists again if there is no version to
// resume from.
//
// It replaces client-go's Reflector, which answers a transport error, a watch
// that ends within a second and an error inside the stream with a new list,
// reports none of them, and waits in places where its context does not reach
// it.
//
// A [Loop] goes from state to state (loop.go). Package retry decides about the next state. Package
// podlist lists, package podwatch opens watches, and package verification finds lost events: these
// use the client of package podclient. Package failure says what an error means.
package listwatch

import (
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"

	"github.com/executorpods/watchsource/internal/podclient"
	"github.com/executorpods/watchsource/internal/podwire"
	"github.com/executorpods/watchsource/internal/shard"
)

// A Sink receives what the loop has listed and watched. All its methods are
// called by the goroutine of [Loop.Run].
type Sink interface {
	// Replace receives a complete list.
	Replace(pods []*podwire.Pod, resourceVersion string)
	// Receive receives an event of a watch, and returns the error that it is.
	Receive(event watch.Event) error
	// ResourceVersion returns the version to resume from, "" for none.
	ResourceVersion() string
	// Forget leaves no version to resume from.
	Forget()
}

// A Kind says what an [Event] reports.
type Kind uint8

const (
	// Listed reports that a complete list has arrived.
	Listed Kind = iota
	// Opened reports that a watch is open.
	Opened
	// Received reports an event or a bookmark.
	Received
	// Closed reports that a watch has ended, or was given up.
	Closed
	// Refused reports that a list or a watch was refused or not answered.
	Refused
	// Unanswered reports that the first watch is requested. Err is its error if Start ends now.
	Unanswered
	// Checked reports that a check of the server's version was answered.
	Checked
	// Decoding reports what decodes the pods.
	Decoding
	// Verified reports that a verification has found no difference.
	Verified
)

// An Event is one thing that happened between the loop and the API server.
type Event struct {
	Kind Kind
	// Namespace is that of the loop.
	Namespace string
	// ResourceVersion is the version listed, watched from or received. With Closed it is the one to resume from.
	ResourceVersion string
	// Pods is the number of pods, with Listed.
	Pods int
	// Relist is set with Listed if this is not the first list of the run.
	Relist bool
	// Verifies is set with Listed if the loop verifies. A complete list is as good as a verification.
	Verifies bool
	// Resumed is set with Opened if the watch begins where another one had ended.
	Resumed bool
	// Type is the type of the event, with Received.
	Type watch.EventType
	// Took is the time of the request with Listed and Refused, and the age of the watch with Closed.
	Took time.Duration
	// Err is never nil with Refused and Unanswered. With Closed it is nil if the watch ended in good order.
	Err error

	// Decoder decodes the pods from now on, with Decoding.
	Decoder podclient.Decoder

	// Heard is set if the API server has shown that it is there.
	Heard bool
	// Fake is set with Opened if the watch is that of a fake, which cannot stall.
	Fake bool
	// Trouble is set with Refused if the view may be out of date, and an operator may have to act.
	Trouble bool
}

// A Config says what a [Loop] does. All fields but Shard, Filter, Known,
// StallTimeout and VerifyEvery are required.
type Config struct {
	Client kubernetes.Interface
	// Namespace is empty for all namespaces.
	Namespace string
	Selector  string
	// Shard has the namespaces of the pods. It is nil for all.
	Shard *shard.Range
	// Form is that in which the sink wants the pods.
	Form podwire.Form
	// Filter says which pods are read completely. It is nil for all.
	Filter *podwire.Filter
	// Known returns what the sink has of the pod with a UID, so that its next state can share it. It may be nil.
	Known        func(uid []byte) podwire.Known
	StartTimeout time.Duration
	// StallTimeout is how long a watch may be silent, 0 for the default.
	StallTimeout time.Duration
	// VerifyEvery is the time between two verifications, 0 for none.
	VerifyEvery time.Duration
	Logger      logr.Logger

	// Sink has no version when the loop begins.
	Sink Sink
	// Report is called with all that happens, by the goroutine of Run, and by that of the
	// verifications. No two of these calls, and of the calls of the sink, overlap.
	// Only those with Checked and with Decoding may come from another goroutine at any time. One with
	// Decoding comes from New, and may come after Run has returned.
	Report func(Event)
	// Begin is called before the first call of the sink. If it returns false the
	// sink is not called.
	Begin func() bool
}
