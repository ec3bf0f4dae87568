// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/executorpods/watchsource/controller"
	"github.com/executorpods/watchsource/watchtest"
)

var (
	_ healthz.Checker = (*controller.Watch[reconcile.Request])(nil).Healthz
	_ healthz.Checker = (*controller.Watch[reconcile.Request])(nil).Readyz
)

// A replica that waits for the lease is alive. One whose watch hears nothing for three minutes is not.
func TestHealthz(t *testing.T) {
	inBubble(t, func(e env) {
		must(e.T, e.watch.Healthz(nil))
		ctx, cancel := context.WithCancel(e.Context())
		e.start(ctx)
		time.Sleep(time.Hour) // with bookmarks only
		must(e.T, e.watch.Healthz(nil))

		lift := e.server.Inject(watchtest.Fault{Do: watchtest.Refuse()})
		e.server.Strike(watchtest.Reset())
		time.Sleep(2 * time.Minute)
		must(e.T, e.watch.Healthz(nil))
		time.Sleep(2 * time.Minute)
		wantError(e.T, e.watch.Healthz(nil), "nothing heard from the API server", "connection refused")
		lift()
		time.Sleep(2 * time.Minute)
		must(e.T, e.watch.Healthz(nil))

		e.server.Inject(watchtest.Fault{Do: watchtest.Refuse()})
		e.server.Strike(watchtest.Reset())
		time.Sleep(4 * time.Minute)
		cancel()
		synctest.Wait()
		must(e.T, e.watch.Healthz(nil))
	})
}

// While the watch waits for a server that does not answer, the probe passes until the start has
// failed, which ends the controller.
func TestHealthzDuringTheStart(t *testing.T) {
	inBubble(t, func(e env) {
		e.server.Inject(watchtest.Fault{Do: watchtest.Hang()})
		must(e.T, e.watch.Source().Start(e.Context(), newQueue()))
		time.Sleep(time.Minute)
		must(e.T, e.watch.Healthz(nil))
		time.Sleep(time.Minute)
		wantError(e.T, e.watch.Healthz(nil), "gave no complete view")
	})
}

func TestReadyz(t *testing.T) {
	inBubble(t, func(e env) {
		wantError(e.T, e.watch.Readyz(nil), "not complete yet")
		e.start(e.Context())
		must(e.T, e.watch.Readyz(nil))
	})
}
