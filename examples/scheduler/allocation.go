// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/executorpods/watchsource"
)

var errNameTaken = errors.New("a pod that is not this executor bears its name")

// allocation creates executors. Its model is Spark's ExecutorPodsAllocator,
// but where that keeps a list of what it has created and not seen yet, and gives
// each up after a time (SPARK-44609), this one reads its own writes: it decides
// nothing on a view that does not show what it has created (KEP-5647).
type allocation struct {
	// Fixed after newAllocation.
	config  config
	pods    typedcorev1.PodInterface
	roster  *roster
	account *account

	// Owned by the goroutine of fill.
	nextID  int
	written string // resource version of the newest executor created
}

func newAllocation(cfg config, pods typedcorev1.PodInterface, roster *roster, account *account) *allocation {
	return &allocation{config: cfg, pods: pods, roster: roster, account: account, nextID: 1}
}

// fill creates the executors that the view has too few. A view that does not
// show its own creations yet is left for the next time: their events are on the
// way, and to wait for them here would hold up everything else.
func (a *allocation) fill(ctx context.Context, view watchsource.Snapshot) {
	if a.written != "" && !view.Contains(a.written) {
		return
	}
	var created []int
	for range a.tooFew(view) {
		if ctx.Err() != nil {
			break
		}
		id := a.nextID
		if err := a.create(ctx, id); err != nil {
			a.account.refused(err)
			break // the next fill goes on from here
		}
		created = append(created, id)
	}
	a.account.created(created)
}

// tooFew returns how many executors there are too few. The ids that it sees are
// not given again: an earlier run gave them, or the answer to a creation of this
// one was lost.
func (a *allocation) tooFew(view watchsource.Snapshot) int {
	tooFew := a.config.executors
	for e := range view.All() {
		if works(&e) {
			tooFew--
		}
		if id, err := strconv.Atoi(e.ID); err == nil {
			a.nextID = max(a.nextID, id+1)
		}
	}
	return tooFew
}

// create makes the pod of an executor. After an error the same executor may be
// tried again: it has one name, and so there is one of it at most.
func (a *allocation) create(ctx context.Context, id int) error {
	pod := executorPod(a.config, id)
	a.roster.register(pod.Name, id)

	ctx, cancel := requestContext(ctx)
	defer cancel()
	made, err := a.pods.Create(ctx, pod, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		made, err = a.find(ctx, pod)
	}
	if err != nil {
		if refused(err) {
			a.roster.strike(pod.Name)
		}
		return err
	}
	a.nextID++
	a.written = made.ResourceVersion
	a.roster.confirm(pod.Name, made.ResourceVersion)
	return nil
}

// find returns the pod of an attempt whose answer was lost. To list it takes no
// right that the library does not need as well.
func (a *allocation) find(ctx context.Context, pod *corev1.Pod) (*corev1.Pod, error) {
	found, err := a.pods.List(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector(metav1.ObjectNameField, pod.Name).String(),
		LabelSelector: labels.SelectorFromSet(pod.Labels).String(),
	})
	if err != nil {
		return nil, err
	}
	if len(found.Items) == 0 {
		a.nextID++
		return nil, fmt.Errorf("%w: %s", errNameTaken, pod.Name)
	}
	return &found.Items[0], nil
}

// settle returns a view with everything that was created: before it, an empty
// view does not mean that nothing is left. A source that cannot see does not
// hold it up for long.
func (a *allocation) settle(ctx context.Context, store *watchsource.Store) watchsource.Snapshot {
	if a.written == "" {
		return store.Snapshot()
	}
	ctx, cancel := context.WithTimeout(ctx, seenTimeout)
	defer cancel()
	view, err := store.WaitForResourceVersion(ctx, a.written)
	if err != nil {
		a.account.say("the last executors created have not come into view: %v", err)
	}
	return view
}

// refused reports whether an error is the API server's word that nothing was
// done. After any other, such as a timeout, it is not known.
func refused(err error) bool {
	answer, ok := errors.AsType[*apierrors.StatusError](err)
	return errors.Is(err, errNameTaken) || ok && answer.ErrStatus.Code < http.StatusInternalServerError
}

// requestContext gives a request its own limit and spares it the end of ctx:
// who cancels a request that is under way does not know what it did.
func requestContext(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
}
