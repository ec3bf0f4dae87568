// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"context"
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/controller"
)

var forbidden = apierrors.NewForbidden(corev1.Resource("pods"), "", errors.New("operator cannot list pods"))

// Each end is in the looks until one of them is acknowledged, and then in none.
func TestEndsUntilAcknowledged(t *testing.T) {
	inBubble(t, func(e env) {
		for _, name := range []string{"a-0", "a-1", "a-2"} {
			e.pod("a", name)
		}
		source, _ := e.start(e.Context())
		want(e.T, "ends of running pods", ends(source.Of(request("a"))))
		e.end("a-0", 0)
		nextInterval()
		want(e.T, "ends", ends(source.Of(request("a"))), "a-0 Succeeded 0")
		look := source.Of(request("a"))
		want(e.T, "ends again", ends(look), "a-0 Succeeded 0")

		e.end("a-1", 1) // after the look
		e.server.Delete("default", "a-1")
		nextInterval()
		look.Acknowledge()
		look.Acknowledge()
		want(e.T, "ends after the look", ends(source.Of(request("a"))), "a-1 Failed 1")
		want(e.T, "ends of another owner", ends(source.Of(request("b"))))
		source.Of(request("a")).Acknowledge()
		nextInterval()
		want(e.T, "ends after all", ends(source.Of(request("a"))))
	})
}

// A look that was taken before another one was acknowledged removes nothing that came later.
func TestAcknowledgeOfAnOldLook(t *testing.T) {
	inBubble(t, func(e env) {
		e.pod("a", "a-0")
		e.pod("a", "a-1")
		source, _ := e.start(e.Context())
		e.end("a-0", 0)
		nextInterval()
		old := source.Of(request("a"))
		source.Of(request("a")).Acknowledge()
		e.end("a-1", 1)
		nextInterval()
		old.Acknowledge()
		want(e.T, "ends", ends(source.Of(request("a"))), "a-1 Failed 1")
	})
}

// A pod that leaves without an end is an end too. A pod that has ended before is no second end when it leaves.
func TestEndsOfPodsThatLeave(t *testing.T) {
	inBubble(t, func(e env) {
		e.pod("a", "a-0")
		e.pod("a", "a-1")
		e.pod("a", "a-2")
		e.end("a-2", 2)
		source, q := e.start(e.Context())
		q.taken()
		e.server.Delete("default", "a-0") // before the interval is over, so that one round has all
		e.server.Update("default", "a-1", func(pod *corev1.Pod) { delete(pod.Labels, "app") })
		e.server.Delete("default", "a-2")
		nextInterval()
		want(e.T, "added", q.taken(), "a")
		want(e.T, "ends", ends(source.Of(request("a"))), "a-2 Failed 2", "a-0 Deleted -1 Seen", "a-1 Deleted -1 Seen")
		want(e.T, "pods left", []int{source.Of(request("a")).Snapshot.Len()}, 0)
	})
}

// The first look of a process has the ends of the pods that are there.
func TestFirstLookHasTheEndsOfPresentPods(t *testing.T) {
	inBubble(t, func(e env) {
		e.pod("a", "a-0")
		e.end("a-0", 4)
		ctx, cancel := context.WithCancel(e.Context())
		source, _ := e.start(ctx)
		want(e.T, "ends", ends(source.Of(request("a"))), "a-0 Failed 4")
		source.Of(request("a")).Acknowledge()
		cancel()
		next, _ := e.start(e.Context())
		want(e.T, "ends of the next process", ends(next.Of(request("a"))), "a-0 Failed 4")
	})
}

func TestWithoutEnds(t *testing.T) {
	withOptions(t, controller.Options{WithoutEnds: true}, func(e env) {
		e.pod("a", "a-0")
		e.end("a-0", 4)
		source, _ := e.start(e.Context())
		look := source.Of(request("a"))
		want(e.T, "ends", ends(look))
		want(e.T, "failed", []int{look.Snapshot.Count(watchsource.Failed)}, 1)
		look.Acknowledge()
	})
}

func TestLookBeforeStart(t *testing.T) {
	inBubble(t, func(e env) {
		look := e.watch.Source().Of(request("a"))
		look.Acknowledge()
		if look.Snapshot.Complete() {
			e.Error("the snapshot before the start is complete")
		}
	})
}

// The reconciler acknowledges the ends of a reconcile that succeeds, and no others.
func TestReconciler(t *testing.T) {
	inBubble(t, func(e env) {
		e.pod("a", "a-0")
		e.end("a-0", 1)
		source, _ := e.start(e.Context())
		var seen []string
		result := errors.New("conflict")
		reconciler := source.Reconciler(func(_ context.Context, owner reconcile.Request, look controller.Look) (reconcile.Result, error) {
			seen = ends(look)
			if owner != request("a") {
				e.Errorf("reconciled %v, want a", owner)
			}
			return reconcile.Result{RequeueAfter: 7}, result
		})
		for range 2 {
			if _, err := reconciler.Reconcile(e.Context(), request("a")); err != result {
				e.Errorf("the error is %v, want that of the function", err)
			}
			want(e.T, "ends", seen, "a-0 Failed 1")
		}
		result = nil
		got, err := reconciler.Reconcile(e.Context(), request("a"))
		must(e.T, err)
		want(e.T, "ends", seen, "a-0 Failed 1")
		if got.RequeueAfter != 7 {
			e.Errorf("the result is %v, want that of the function", got)
		}
		_, err = reconciler.Reconcile(e.Context(), request("a"))
		must(e.T, err)
		want(e.T, "ends after a success", seen)
	})
}
