// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"errors"
	"net/http"
	"time"
)

// maxSilence is what [watchsource.WatchSnapshotSource.Healthy] recommends for a liveness probe.
const maxSilence = 3 * time.Minute

// Healthz is a [sigs.k8s.io/controller-runtime/pkg/healthz.Checker] for the liveness probe of the
// manager: mgr.AddHealthzCheck("pods", watch.Healthz). It fails if the API server was not heard
// for three minutes while the watch is open, or if the watch could not be opened. A watch that is
// closed is healthy, because a replica that waits for the lease has not opened it.
func (w *Watch[request]) Healthz(*http.Request) error {
	w.mu.Lock()
	s := w.session
	w.mu.Unlock()
	if s == nil {
		return nil
	}
	if err := s.failure(); err != nil {
		return err
	}
	return w.source.Healthy(maxSilence)
}

// Readyz is a [sigs.k8s.io/controller-runtime/pkg/healthz.Checker] for the readiness probe of a
// program whose webhook reads the view: mgr.AddReadyzCheck("pods", watch.Readyz). It fails until
// the view has all pods. Do not use it if the watch is opened by controllers that wait for the
// lease.
func (w *Watch[request]) Readyz(*http.Request) error {
	if !w.complete() {
		return errors.New("watchsource: the view of the pods is not complete yet")
	}
	return nil
}
