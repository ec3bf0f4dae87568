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
	s.mustBeMade()
	return waitFor(ctx, s.records.ofFirst, cond)
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
	s.mustBeMade()
	return s.records.waitForVersion(ctx, s.records.ofFirst, version)
}

// WaitForEnd waits until the executor container of a pod has ended, and returns the executor in
// that state. If it has ended already, or if the pod has left since, WaitForEnd returns at once. An
// executor that has left without an end is returned as [Deleted].
//
// createdVersion is the resource version that the API server returned when it created the pod. With
// it, WaitForEnd does not mistake an earlier pod of the same name for this one, and fails at once
// with an error that apierrors.IsNotFound recognises if the snapshot contains the creation and not
// the pod, and the store does not remember it. Without it, "" as with client-go's fake clientset,
// WaitForEnd waits for the pod to come. If several namespaces may have a pod of the name, put the
// namespace before it, as in "jobs/worker-1".
//
// A store remembers the executors that have left for two minutes, and as many as it has had at a
// time, or 128 if that is more. A call that waits misses no end, however many executors leave. If
// the kubelet starts the container again after its end, WaitForEnd returns the first end that it
// sees.
//
// It fails with ErrStopped if the source is stopped, with an error that wraps the cause if ctx
// ends, and at once with a resourceversion.InvalidResourceVersion if the version cannot be compared.
func (s *Store) WaitForEnd(ctx context.Context, podName, createdVersion string) (Executor, error) {
	s.mustBeMade()
	return s.records.waitForEnd(ctx, s.records.ofFirst, newEndWait(nil, podName, createdVersion))
}

// waitForEnd implements [Store.WaitForEnd]. The departures tell w an end that comes while it waits.
func (r *records) waitForEnd(ctx context.Context, newest func() (*published, Snapshot), w *endWait) (Executor, error) {
	if w.createdVersion != "" {
		if err := checkVersion(w.createdVersion); err != nil {
			return Executor{}, w.failed(err)
		}
	}
	r.addWait(w)
	defer r.removeWait(w)
	follow := &follower{records: r}
	defer follow.end()
	for {
		advanced := r.advanced.wait()
		if mayBeGone := r.lookForEnd(newest, w); mayBeGone {
			follow.begin()
		} else {
			advanced = nil
		}
		select {
		case result := <-w.result:
			if result.err != nil {
				return Executor{}, w.failed(result.err)
			}
			return result.executor, nil
		case <-advanced:
		case <-ctx.Done():
			return Executor{}, w.failed(context.Cause(ctx))
		}
	}
}

// addWait adds a call that waits for an end.
func (r *records) addWait(w *endWait) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.departures.add(w)
}

func (r *records) removeWait(w *endWait) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.departures.remove(w)
}

// lookForEnd tells w what the newest snapshot shows of its pod. It reports whether a newer version
// may show that the pod is gone. The departures cannot change meanwhile.
func (r *records) lookForEnd(newest func() (*published, Snapshot), w *endWait) (mayBeGone bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v, snapshot := newest()
	switch e, here := w.find(snapshot); {
	case here && e.State.Ended():
		w.tell(endResult{executor: e})
	case v.stopped:
		w.tell(endResult{err: ErrStopped})
	case here:
	case w.createdVersion != "" && snapshot.Contains(w.createdVersion):
		w.tell(endResult{err: w.notFound()})
	default:
		return w.createdVersion != ""
	}
	return false
}

// waitFor returns the first snapshot for which cond returns true. newest returns the newest one.
func waitFor(ctx context.Context, newest func() (*published, Snapshot), cond func(Snapshot) bool) (Snapshot, error) {
	for {
		v, snapshot := newest()
		if cond(snapshot) {
			return snapshot, nil
		}
		if v.stopped {
			return snapshot, stoppedError(snapshot)
		}
		select {
		case <-v.superseded():
		case <-ctx.Done():
			return snapshot, fmt.Errorf("watchsource: wait for a snapshot, %d executors at resource version %q so far: %w",
				snapshot.Len(), snapshot.ResourceVersion(), context.Cause(ctx))
		}
	}
}

func stoppedError(last Snapshot) error {
	return fmt.Errorf("%w: no snapshot after resource version %q will come", ErrStopped, last.ResourceVersion())
}

// waitForVersion returns the first snapshot that contains everything up to a version.
func (r *records) waitForVersion(ctx context.Context, newest func() (*published, Snapshot), version string) (Snapshot, error) {
	if err := checkVersion(version); err != nil {
		_, snapshot := newest()
		return snapshot, fmt.Errorf("watchsource: wait for resource version %q: %w", version, err)
	}
	follow := &follower{records: r}
	defer follow.end()
	for {
		advanced := r.advanced.wait()
		v, snapshot := newest()
		if snapshot.Contains(version) {
			return snapshot, nil
		}
		if v.stopped {
			return snapshot, stoppedError(snapshot)
		}
		follow.begin()
		select {
		case <-advanced:
		case <-v.superseded():
		case <-ctx.Done():
			return snapshot, fmt.Errorf("watchsource: wait for resource version %q, %d executors at resource version %q so far: %w",
				version, snapshot.Len(), snapshot.ResourceVersion(), context.Cause(ctx))
		}
	}
}

// A follower asks a shared watch for its versions while a call waits.
type follower struct {
	records *records
	stop    func() // nil before begin
}

// begin asks for the versions. Further calls do nothing.
func (f *follower) begin() {
	if request := f.records.followVersions.Load(); request != nil && f.stop == nil {
		f.stop = (*request)()
	}
}

func (f *follower) end() {
	if f.stop != nil {
		f.stop()
	}
}

// checkVersion returns why a version cannot be compared.
func checkVersion(version string) error {
	_, err := resourceversion.CompareResourceVersion(version, version)
	if err != nil && version == "" {
		return noVersionError{err}
	}
	return err
}

// A noVersionError is that of a version which is empty, in words that name the usual cause.
type noVersionError struct{ err error }

func (e noVersionError) Error() string {
	return "it is empty, as that of a pod of client-go's fake clientset; use WaitFor, or test with the package watchtest"
}

func (e noVersionError) Unwrap() error { return e.err }
