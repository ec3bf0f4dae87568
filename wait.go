// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/util/resourceversion"
)

// ErrStopped means that Stop ended a Start or a wait for a snapshot.
var ErrStopped = errors.New("watchsource: the source was stopped")

// WaitFor returns the first snapshot for which cond returns true, beginning with the
// current one. It may skip snapshots. cond must not block.
//
// It fails with ErrStopped if the source is stopped and has not been started again,
// and with an error that wraps the cause if ctx ends. Either way it also returns the
// newest snapshot. Before the first Start it waits.
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

// WaitForResourceVersion returns the first snapshot that contains everything up to a
// resource version. With the version that the API server returned for a new pod, a
// scheduler reads its own write. An event or a bookmark may bring the version. With a
// [SharedWatch] an event of any application does.
//
// It fails like WaitFor. If the version cannot be compared, it fails at once with a
// resourceversion.InvalidResourceVersion. The pods that client-go's fake clientset
// creates have an empty version: wait for the pod with WaitFor, or test with the package
// watchtest.
func (s *Store) WaitForResourceVersion(ctx context.Context, version string) (Snapshot, error) {
	if _, err := resourceversion.CompareResourceVersion(version, version); err != nil {
		if version == "" {
			err = noVersionError{err}
		}
		return s.Snapshot(), fmt.Errorf("watchsource: wait for resource version %q: %w", version, err)
	}
	stop := func() {}
	defer func() { stop() }()
	requested := false
	return s.WaitFor(ctx, func(snapshot Snapshot) bool {
		if snapshot.Contains(version) {
			return true
		}
		if request := s.followVersions.Load(); request != nil && !requested {
			stop, requested = (*request)(), true
		}
		return false
	})
}

// A noVersionError is that of a version which is empty, in words that name the usual cause.
type noVersionError struct{ err error }

func (e noVersionError) Error() string {
	return "it is empty, as that of a pod of client-go's fake clientset; use WaitFor, or test with the package watchtest"
}

func (e noVersionError) Unwrap() error { return e.err }
