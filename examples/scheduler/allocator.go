// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/executorpods/watchsource"
)

// missingAfter is how much later than a creation a full list must have arrived
// to prove that the pod is not there. The list may have been asked for before.
const missingAfter = 15 * time.Second

// allocator creates executors. Its model is Spark's ExecutorPodsAllocator.
type allocator struct {
	config config
	pods   typedcorev1.PodInterface

	nextID int
	// unseen are the executors that were created but are not in the view yet.
	// They count, or each of them would be created twice.
	unseen map[string]creation // by pod name
}

type creation struct {
	executorID int
	at         time.Time
}

func newAllocator(cfg config, pods typedcorev1.PodInterface) *allocator {
	return &allocator{config: cfg, pods: pods, nextID: 1, unseen: map[string]creation{}}
}

// fill creates what is missing in the view and returns the ids. It stops at the
// first error; the next fill goes on from there.
func (a *allocator) fill(ctx context.Context, view watchsource.Snapshot) ([]int, error) {
	var created []int
	for range a.missing(view) {
		id, err := a.create(ctx)
		if err != nil {
			return created, err
		}
		created = append(created, id)
	}
	return created, nil
}

// missing returns how many executors there are too few.
func (a *allocator) missing(view watchsource.Snapshot) int {
	missing := a.config.executors - len(a.unseen)
	for e := range view.All() {
		if works(&e) {
			missing--
		}
	}
	return max(missing, 0)
}

func (a *allocator) create(ctx context.Context) (int, error) {
	id := a.nextID
	pod := executorPod(a.config, id)
	ctx, cancel := requestContext(ctx)
	defer cancel()
	_, err := a.pods.Create(ctx, pod, metav1.CreateOptions{})
	// AlreadyExists is the answer to a second attempt, after one whose answer
	// got lost: the pod is ours.
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return 0, err
	}
	a.nextID++
	a.unseen[pod.Name] = creation{executorID: id, at: time.Now()}
	return id, nil
}

// acknowledge notes that a pod has been seen, and reports whether it is one that
// was being waited for.
func (a *allocator) acknowledge(podName string) bool {
	_, waited := a.unseen[podName]
	delete(a.unseen, podName)
	return waited
}

// skip makes sure that an executor id is never given again.
func (a *allocator) skip(executorID string) {
	if id, err := strconv.Atoi(executorID); err == nil {
		a.nextID = max(a.nextID, id+1)
	}
}

// lost returns the executors that came and went while the watch could not see,
// and waits for them no longer.
func (a *allocator) lost(view watchsource.Snapshot) []ending {
	var endings []ending
	for _, name := range slices.Sorted(maps.Keys(a.unseen)) {
		creation := a.unseen[name]
		if _, there := view.Get(name); there || !view.SyncedAt().After(creation.at.Add(missingAfter)) {
			continue
		}
		delete(a.unseen, name)
		endings = append(endings, ending{outcome: deleted, executor: watchsource.Executor{
			Name:  name,
			ID:    strconv.Itoa(creation.executorID),
			State: watchsource.Deleted,
		}})
	}
	return endings
}

// allSeen reports whether everything that was created is in a view.
func (a *allocator) allSeen(view watchsource.Snapshot) bool {
	for name := range a.unseen {
		if _, seen := view.Get(name); !seen {
			return false
		}
	}
	return true
}

// requestContext gives a request its own limit and spares it the end of ctx:
// who cancels a request that is under way does not know what it did.
func requestContext(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
}
