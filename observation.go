// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/watch"

	"github.com/executorpods/watchsource/internal/listwatch"
)

// An Observation is one thing that happened between a [WatchSnapshotSource] and
// the API server. See [WithObserver]. A Closed follows each Opened, even if Stop ends
// the watch.
type Observation struct {
	Kind ObservationKind
	// Namespace is the one that is watched, or empty for all. See [WithNamespaces].
	Namespace string
	// ResourceVersion is the version that was listed, watched from or received. For
	// Closed it is the version to resume from, or empty if that version was lost.
	ResourceVersion string
	Pods            int             // Listed: the number of pods
	Relist          bool            // Listed: not the first list since Start
	Resumed         bool            // Opened: at the version where another watch ended, without a list
	Event           watch.EventType // Received: the type, BOOKMARK included
	Took            time.Duration   // Listed and Refused: the request; Closed: the age of the watch
	// Err is always set for Refused. For Closed it is nil if the watch ended
	// normally or Stop ended it. If a verification ended it, Err names the lost event. When
	// client-go decodes the pods itself, a broken connection also looks like a normal end.
	Err error
}

// WithObserver sets a function that receives an [Observation] of everything that happens
// between the source and the API server, for example to count the events. The watch
// goroutine calls the function and waits until it returns. With [WithVerification] another
// goroutine calls it too, and with [WithNamespaces] one for each namespace, never two at the same
// time. The function must not call Stop, because Stop waits for the watch goroutine. If the function is nil there is no
// observer.
func WithObserver(observer func(Observation)) Option {
	return sourceOption(func(o *sourceOptions) {
		o.observer = nil
		if observer != nil {
			o.observer = func(e listwatch.Event) { observer(observationOf(e)) }
		}
	})
}

// observationOf converts an event. The kinds have the numbers of those of listwatch.
func observationOf(e listwatch.Event) Observation {
	return Observation{
		Kind: ObservationKind(e.Kind), Namespace: e.Namespace, ResourceVersion: e.ResourceVersion, Pods: e.Pods, Relist: e.Relist,
		Resumed: e.Resumed, Event: e.Type, Took: e.Took, Err: e.Err,
	}
}

// An ObservationKind says what happened.
type ObservationKind uint8

const (
	Listed   ObservationKind = iota // a complete list arrived
	Opened                          // a watch is open
	Received                        // an event or a bookmark arrived
	Closed                          // a watch has ended, or the source gave it up
	Refused                         // the server refused a list, a watch or a verification, or did not answer
)

// String returns the name of the constant.
func (k ObservationKind) String() string {
	if int(k) < len(observationNames) {
		return observationNames[k]
	}
	return fmt.Sprintf("ObservationKind(%d)", uint8(k))
}

var observationNames = [...]string{"Listed", "Opened", "Received", "Closed", "Refused"}
