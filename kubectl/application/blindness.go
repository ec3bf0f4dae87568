// SPDX-License-Identifier: Apache-2.0

package application

import (
	"time"

	"github.com/executorpods/watchsource"
)

// MaxSilence is how long the API server may send nothing before a view may be out of date.
const MaxSilence = 3 * time.Minute

// WhyBlind returns why the view of a source may be out of date, or nil. The caller has just
// read the status from the source.
func WhyBlind(source *watchsource.WatchSnapshotSource, status watchsource.Status) error {
	if status.Phase == watchsource.Retrying && status.Err != nil {
		return status.Err
	}
	return source.Healthy(MaxSilence)
}
