// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/controller"
	"github.com/executorpods/watchsource/watchtest"
)

var (
	_ manager.Runnable               = (*controller.Watch[reconcile.Request])(nil)
	_ manager.LeaderElectionRunnable = (*controller.Watch[reconcile.Request])(nil)
)

// Two controllers share one watch, and each is shown every owner and every end. The watch ends with
// the last of them, and a later controller opens it again.
func TestSourcesShareOneWatch(t *testing.T) {
	inBubble(t, func(e env) {
		e.pod("a", "a-0")
		first, endFirst := context.WithCancel(e.Context())
		second, endSecond := context.WithCancel(e.Context())
		one, oneQueue := e.start(first)
		other, otherQueue := e.start(second)
		want(e.T, "open streams", []int{len(e.server.Streams())}, 1)
		want(e.T, "added for the first", oneQueue.taken(), "a priority -100")
		want(e.T, "added for the second", otherQueue.taken(), "a priority -100")

		e.end("a-0", 1)
		nextInterval()
		for _, source := range []*controller.Source[reconcile.Request]{one, other} {
			look := source.Of(request("a"))
			want(e.T, "ends", ends(look), "a-0 Failed 1")
			look.Acknowledge()
		}
		endFirst()
		synctest.Wait()
		want(e.T, "open streams with one controller", []int{len(e.server.Streams())}, 1)
		endSecond()
		synctest.Wait()
		want(e.T, "open streams without a controller", []int{len(e.server.Streams())}, 0)
		if phase := e.watch.Status().Phase; phase != watchsource.Stopped {
			e.Errorf("the watch is %v, want Stopped", phase)
		}

		_, again := e.start(e.Context())
		want(e.T, "added after another start", again.taken(), "a priority -100")
	})
}

// A controller that starts while the watch of the last one still ends waits for its end.
func TestStartWhileTheWatchEnds(t *testing.T) {
	inBubble(t, func(e env) {
		byLabel := controller.ByLabel(ownerLabel)
		slowly := func(pod metav1.Object) (reconcile.Request, bool) {
			if pod.GetName() == "slow" {
				time.Sleep(10 * time.Second) // the end of the watch waits for this call
			}
			return byLabel(pod)
		}
		e.watch = controller.New(e.server.Client(), slowly, controller.Options{Selector: selector, Logger: logr.New(discard{})})
		ctx, cancel := context.WithCancel(e.Context())
		e.start(ctx)
		e.pod("a", "slow")
		synctest.Wait()
		cancel()
		synctest.Wait()
		_, q := e.start(e.Context())
		want(e.T, "added", q.taken(), "a priority -100")
		want(e.T, "open streams", []int{len(e.server.Streams())}, 1)
	})
}

// A context that ends during the start ends the start.
func TestContextEndsDuringTheStart(t *testing.T) {
	inBubble(t, func(e env) {
		e.server.Inject(watchtest.Fault{Do: watchtest.Hang()})
		ctx, cancel := context.WithCancel(e.Context())
		source := e.watch.Source()
		must(e.T, source.Start(ctx, newQueue()))
		synctest.Wait()
		cancel()
		wantError(e.T, source.WaitForSync(ctx), "canceled")
		synctest.Wait()
		if phase := e.watch.Status().Phase; phase != watchsource.Stopped {
			e.Errorf("the watch is %v, want Stopped", phase)
		}
	})
}

// A manager runs the watch without leader election, and a webhook reads the view.
func TestRunnable(t *testing.T) {
	inBubble(t, func(e env) {
		e.pod("a", "a-0")
		if e.watch.NeedLeaderElection() {
			e.Error("NeedLeaderElection is true, want false")
		}
		ctx, cancel := context.WithCancel(e.Context())
		returned := make(chan error)
		go func() { returned <- e.watch.Start(ctx) }()
		synctest.Wait()
		if _, ok := e.watch.Snapshot(request("a")).Get("a-0"); !ok {
			e.Error("the view of the runnable has no a-0")
		}
		cancel()
		must(e.T, <-returned)
		synctest.Wait()
		want(e.T, "open streams", []int{len(e.server.Streams())}, 0)
	})
}

func TestRunnableReturnsTheErrorOfTheStart(t *testing.T) {
	inBubble(t, func(e env) {
		e.server.Inject(watchtest.Fault{Do: watchtest.Answer(forbidden)})
		wantError(e.T, e.watch.Start(e.Context()), "cannot list pods")
	})
}
