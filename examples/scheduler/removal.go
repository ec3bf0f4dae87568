// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/executorpods/watchsource"
)

// removal deletes pods: those of executors that have ended, and in the end all.
type removal struct {
	// Fixed after newRemoval.
	pods    typedcorev1.PodInterface
	roster  *roster
	account *account

	// Owned by the goroutine of tidy.
	asked map[types.UID]bool // whether the API server has accepted the deletion
}

func newRemoval(pods typedcorev1.PodInterface, roster *roster, account *account) *removal {
	return &removal{pods: pods, roster: roster, account: account}
}

// tidy deletes the pods of executors that have ended, each until the API server
// has accepted it, and no more often (SPARK-54198). A pod whose end has not been
// counted stays: nothing else knows how it ended.
func (r *removal) tidy(ctx context.Context, view watchsource.Snapshot) {
	asked := map[types.UID]bool{}
	for e := range view.All() {
		if !e.State.Ended() || r.roster.has(e.Name) {
			continue
		}
		asked[e.UID] = r.asked[e.UID] || r.remove(ctx, e)
	}
	r.asked = asked
}

// all deletes everything in a view, and waits until nothing is left.
func (r *removal) all(ctx context.Context, store *watchsource.Store, view watchsource.Snapshot) error {
	if view.Len() > 0 {
		r.account.say("deleting the %d pods that are left", view.Len())
	}
	for e := range view.All() {
		r.remove(ctx, e)
	}
	view, err := store.WaitFor(ctx, func(s watchsource.Snapshot) bool { return s.Len() == 0 })
	if err != nil {
		return fmt.Errorf("%d pods are still there after %v", view.Len(), cleanUpTimeout)
	}
	return nil
}

// remove deletes the very pod that was seen, and no other of that name. One that
// is going already, or gone, is left alone.
func (r *removal) remove(ctx context.Context, e watchsource.Executor) bool {
	if e.Terminating {
		return true
	}
	ctx, cancel := requestContext(ctx)
	defer cancel()
	err := r.pods.Delete(ctx, e.Name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(e.UID))})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		r.account.say("the pod of executor %s could not be deleted: %v", e.ID, briefly(err))
		return false
	}
	return true
}
