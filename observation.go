// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/watch"
)

// An Observation is one thing that happened between a [WatchSnapshotSource] and
// the API server. See [WithObserver].
type Observation struct {
	Kind ObservationKind
	// ResourceVersion is the one that was listed, watched from or received,
	// and after the end of a watch the one to resume from; empty for none.
	ResourceVersion string
	Pods            int             // Listed: how many there were
	Resumed         bool            // Opened: where another watch had ended, without a list
	Event           watch.EventType // Received: which, BOOKMARK included
	Took            time.Duration   // Listed and Refused: the request; Closed: the life of the watch
	// Err says why: of Refused always, of Closed unless the watch ended in good
	// order. A client that is used as it is does not tell a cut from that.
	Err error
}

// An ObservationKind says what happened.
type ObservationKind uint8

const (
	Listed   ObservationKind = iota // a complete view has arrived
	Opened                          // a watch is open
	Received                        // an event or a bookmark came
	Closed                          // a watch has ended, or was given up
	Refused                         // a list or a watch could not be had
)

// String returns the name of the constant.
func (k ObservationKind) String() string {
	if int(k) < len(observationNames) {
		return observationNames[k]
	}
	return fmt.Sprintf("ObservationKind(%d)", uint8(k))
}

var observationNames = [...]string{"Listed", "Opened", "Received", "Closed", "Refused"}
