// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"

	"github.com/executorpods/watchsource/internal/departed"
	"github.com/executorpods/watchsource/internal/rv"
)

// ErrStopped means that Stop ended a Start, or a call that waits for a snapshot or an end.
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
// [SharedWatch] an event of any application does. With [WithNamespaces] the source asks the quiet
// namespaces for a bookmark, which takes one to two seconds.
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
	return s.records.waitForEnd(ctx, s.records.ofFirst, departed.NewWait[Executor](nil, podName, createdVersion))
}

// waitForEnd implements [Store.WaitForEnd]. The records tell w an end that comes while it waits.
func (r *records) waitForEnd(ctx context.Context, newest func() (*published, Snapshot), w *departed.Wait[Executor]) (Executor, error) {
	if w.CreatedVersion != "" {
		if err := checkVersion(w.CreatedVersion); err != nil {
			return Executor{}, endError(w, err)
		}
	}
	r.addWait(newest, w)
	defer r.removeWait(w)
	follow := &follower{records: r, version: w.CreatedVersion}
	defer follow.end()
	for {
		advanced := r.advanced.wait()
		if mayBeGone := r.lookForEnd(newest, w); mayBeGone {
			follow.begin()
		} else {
			advanced = nil
		}
		select {
		case result := <-w.Result():
			return endOf(w, result)
		default: // a known end counts, even if ctx is over
		}
		select {
		case result := <-w.Result():
			return endOf(w, result)
		case <-advanced:
		case <-ctx.Done():
			return Executor{}, endError(w, context.Cause(ctx))
		}
	}
}

func endOf(w *departed.Wait[Executor], result departed.Result[Executor]) (Executor, error) {
	if result.Err != nil {
		return Executor{}, endError(w, result.Err)
	}
	return result.End, nil
}

// addWait adds a call that waits for an end.
func (r *records) addWait(newest func() (*published, Snapshot), w *departed.Wait[Executor]) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var present types.UID
	_, snapshot := newest()
	if e, ok := find(w, snapshot); ok {
		present = e.key()
	}
	r.departed.Add(w, present)
}

func (r *records) removeWait(w *departed.Wait[Executor]) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.departed.Remove(w)
}

// lookForEnd tells w what the newest snapshot shows of its pod. It reports whether a newer version
// may show that the pod is gone.
func (r *records) lookForEnd(newest func() (*published, Snapshot), w *departed.Wait[Executor]) (mayBeGone bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v, snapshot := newest()
	switch e, here := find(w, snapshot); {
	case here && e.State.Ended():
		w.Tell(e, nil)
	case v.stopped:
		w.Tell(Executor{}, ErrStopped)
	case here:
	case w.CreatedVersion != "" && snapshot.Contains(w.CreatedVersion):
		w.Tell(Executor{}, notFound(w))
	default:
		return w.CreatedVersion != ""
	}
	return false
}

// observeStop ends all waiting calls and the sequences of batches. The views do not change.
func (r *records) observeStop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for reader := range r.readers {
		r.stopReader(reader)
	}
	for _, p := range r.partitions {
		if p != nil {
			p.publishStop()
		}
	}
	r.departed.Fail(ErrStopped)
}

// find returns the executor that a call waits for, if a snapshot has it.
func find(w *departed.Wait[Executor], s Snapshot) (Executor, bool) {
	e, ok := s.Get(w.Name)
	if w.Namespace != "" {
		e, ok = s.GetIn(w.Namespace, w.Name)
	}
	if !ok || rv.Older(e.ResourceVersion, w.CreatedVersion) {
		return Executor{}, false
	}
	return e, true
}

// endError returns the error of a call that waits for an end.
func endError(w *departed.Wait[Executor], cause error) error {
	if errors.Is(cause, ErrStopped) {
		return fmt.Errorf("%w while a call waited for the end of pod %q", ErrStopped, w.Name)
	}
	return fmt.Errorf("watchsource: wait for the end of pod %q: %w", w.Name, cause)
}

// notFound returns the cause for a pod that was created and is not there any more.
func notFound(w *departed.Wait[Executor]) error {
	return fmt.Errorf("%w: the store has everything up to its creation at version %s, so the pod has left and is not remembered, or the source does not select it",
		apierrors.NewNotFound(corev1.Resource("pods"), w.Name), w.CreatedVersion)
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
	follow := &follower{records: r, version: version}
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

// A follower asks the source for a version while a call waits for it.
type follower struct {
	records *records
	version string
	stop    func() // nil before begin
}

// begin asks for the versions. Further calls do nothing.
func (f *follower) begin() {
	if request := f.records.followVersions.Load(); request != nil && f.stop == nil {
		f.stop = (*request)(f.version)
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
