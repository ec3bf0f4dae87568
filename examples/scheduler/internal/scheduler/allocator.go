// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/executorpods/watchsource"
)

// missingAfter is used if resource versions cannot show whether a list is newer than a
// creation. A full list without the pod proves that the pod is gone only if it arrived more
// than this long after the creation, because the list may have been requested before it.
const missingAfter = 15 * time.Second

// allocator creates executors. Its model is Spark's ExecutorPodsAllocator. It reads its own
// writes: it creates nothing on a view that lacks one of its creations. Otherwise it would
// request the same executor twice (SPARK-44609, KEP-5647).
type allocator struct {
	config config
	pods   typedcorev1.PodInterface

	nextID  int
	written string              // resource version of the last creation
	unseen  map[string]creation // creations that no change has shown yet, by pod name
}

type creation struct {
	executorID int
	at         time.Time
	version    string // resource version of the creation
}

func newAllocator(cfg config, pods typedcorev1.PodInterface) *allocator {
	return &allocator{config: cfg, pods: pods, nextID: 1, unseen: map[string]creation{}}
}

// fill creates the executors that the view lacks and returns their ids. It stops at the
// first error, and the next fill continues.
func (a *allocator) fill(ctx context.Context, view watchsource.Snapshot) ([]int, error) {
	if !a.readsOwnWrites(view) {
		return nil, nil // wait for a later view
	}
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

// readsOwnWrites reports whether a view contains every creation. Waiting with
// store.WaitForResourceVersion would also work, but would block the loop. With client-go's
// fake clientset, whose pods have no versions, it looks for the pods themselves.
func (a *allocator) readsOwnWrites(view watchsource.Snapshot) bool {
	for name, creation := range a.unseen {
		if _, there := view.Get(name); !there && !view.Contains(creation.version) {
			return false
		}
	}
	return true
}

// missing returns how many executors the view has too few.
func (a *allocator) missing(view watchsource.Snapshot) int {
	missing := a.config.executors
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
	created, err := a.pods.Create(ctx, pod, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		// An earlier attempt has created the pod, and its answer was lost.
		created, err = a.find(ctx, pod.Name)
	}
	if err != nil {
		return 0, err
	}
	a.nextID++
	a.written = created.ResourceVersion
	a.unseen[pod.Name] = creation{executorID: id, at: time.Now(), version: created.ResourceVersion}
	return id, nil
}

// find returns an existing pod. It uses a LIST, because the scheduler has the permission to
// list for its watch.
func (a *allocator) find(ctx context.Context, name string) (*corev1.Pod, error) {
	list, err := a.pods.List(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector(metav1.ObjectNameField, name).String(),
	})
	if err != nil {
		return nil, err
	}
	if len(list.Items) == 0 {
		return nil, fmt.Errorf("the pod %s has come and gone", name)
	}
	return &list.Items[0], nil
}

// acknowledge marks a pod as seen. It reports whether the allocator was waiting for it.
func (a *allocator) acknowledge(podName string) bool {
	_, waited := a.unseen[podName]
	delete(a.unseen, podName)
	return waited
}

// skip makes sure that an executor id is not used again.
func (a *allocator) skip(executorID string) {
	if id, err := strconv.Atoi(executorID); err == nil {
		a.nextID = max(a.nextID, id+1)
	}
}

// lost returns the created executors that have gone without any change that showed them. The
// allocator no longer waits for them.
func (a *allocator) lost(view watchsource.Snapshot) []ending {
	var endings []ending
	for _, name := range slices.Sorted(maps.Keys(a.unseen)) {
		creation := a.unseen[name]
		if _, there := view.Get(name); there || !creation.before(view) {
			continue
		}
		delete(a.unseen, name)
		endings = append(endings, missingEnding(watchsource.Executor{
			Name: name,
			ID:   strconv.Itoa(creation.executorID),
		}))
	}
	return endings
}

// before reports whether a view is newer than a creation. If so, an executor that is
// absent from the view is gone, and not only late. Spark once killed healthy executors
// without this check (SPARK-33711).
func (c creation) before(view watchsource.Snapshot) bool {
	return view.Complete() && (view.Contains(c.version) || view.SyncedAt().After(c.at.Add(missingAfter)))
}

// requestContext gives a request its own timeout and ignores the end of ctx: if a request
// is cancelled in progress, its result is unknown.
func requestContext(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
}
