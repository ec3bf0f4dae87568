// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/util/resourceversion"
)

// WaitFor returns the first snapshot for which cond holds, beginning with the
// current one; cond may not be shown every snapshot, and must not block.
//
// It fails with ErrStopped when the source is stopped, or has been and was not
// started again, and with an error that wraps the cause when ctx ends. Either
// way it returns the newest snapshot too. Before the first Start it waits.
func (s *Store) WaitFor(ctx context.Context, cond func(Snapshot) bool) (Snapshot, error) {
	for {
		v := s.current.Load()
		snapshot := Snapshot{&v.view}
		if cond(snapshot) {
			return snapshot, nil
		}
		if v.stopped {
			return snapshot, fmt.Errorf("%w: no snapshot after resource version %q will come", ErrStopped, snapshot.ResourceVersion())
		}
		select {
		case <-v.superseded():
		case <-ctx.Done():
			return snapshot, fmt.Errorf("watchsource: wait for a snapshot, %d executors at resource version %q so far: %w",
				snapshot.Len(), snapshot.ResourceVersion(), context.Cause(ctx))
		}
	}
}

// WaitForResourceVersion returns the first snapshot that contains everything up
// to a version, such as the one that the API server returned for a pod just
// created: a scheduler reads its own writes. It does not matter whether an event
// or a bookmark brings that version.
//
// It fails like WaitFor, and at once on a version that cannot be compared, such
// as the empty one of client-go's fake clientset, with a
// resourceversion.InvalidResourceVersion.
func (s *Store) WaitForResourceVersion(ctx context.Context, version string) (Snapshot, error) {
	if _, err := resourceversion.CompareResourceVersion(version, version); err != nil {
		return s.Snapshot(), fmt.Errorf("watchsource: wait for resource version %q: %w", version, err)
	}
	return s.WaitFor(ctx, func(snapshot Snapshot) bool { return snapshot.Contains(version) })
}
