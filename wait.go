// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/util/resourceversion"
)

// WaitFor returns the first snapshot for which cond holds, beginning with the
// current one; cond may not be shown every snapshot, and must not block. If ctx
// ends first it returns the newest snapshot and an error that wraps the cause
// of that.
func (s *Store) WaitFor(ctx context.Context, cond func(Snapshot) bool) (Snapshot, error) {
	for {
		snapshot, superseded := s.Latest()
		if cond(snapshot) {
			return snapshot, nil
		}
		select {
		case <-superseded:
		case <-ctx.Done():
			return snapshot, fmt.Errorf("watchsource: wait for a snapshot of %d executors at resource version %q: %w",
				snapshot.Len(), snapshot.ResourceVersion(), context.Cause(ctx))
		}
	}
}

// WaitForResourceVersion returns the first snapshot that contains everything up
// to a version, such as the one that the API server returned for a pod just
// created: a scheduler reads its own writes. It fails at once on a version that
// cannot be compared, and like WaitFor when ctx ends.
func (s *Store) WaitForResourceVersion(ctx context.Context, version string) (Snapshot, error) {
	if _, err := resourceversion.CompareResourceVersion(version, version); err != nil {
		return s.Snapshot(), fmt.Errorf("watchsource: wait for resource version %q: %w", version, err)
	}
	return s.WaitFor(ctx, func(snapshot Snapshot) bool {
		order, err := resourceversion.CompareResourceVersion(snapshot.ResourceVersion(), version)
		return err == nil && order >= 0
	})
}
