// SPDX-License-Identifier: Apache-2.0

// Package agreement compares what a store holds with what the API server lists.
package agreement

import (
	"context"
	"fmt"

	"github.com/executorpods/watchsource"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/conversion"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
)

// equal compares like the API machinery, for which an empty list is as good as none and the
// unit of a quantity does not count, and executors by their Equal.
var equal = func() conversion.Equalities {
	equalities := equality.Semantic.Copy()
	if err := equalities.AddFunc(watchsource.Executor.Equal); err != nil {
		panic(err)
	}
	return equalities
}()

// A member is an executor and its pod, which Executor.Equal does not compare.
type member struct {
	Executor watchsource.Executor
	Pod      *corev1.Pod
}

// Difference compares a snapshot with a list at the same resource version, field by field.
// It returns "" if they are equal. If trimmed is true, the pods of the snapshot are those of a store
// of the user with WithTrimmedPods, and must have one container, without a restart policy.
func Difference(ctx context.Context, client typedcorev1.PodInterface, selector string, snapshot watchsource.Snapshot, trimmed bool) (string, error) {
	list, err := client.List(ctx, metav1.ListOptions{
		LabelSelector:        selector,
		ResourceVersion:      snapshot.ResourceVersion(),
		ResourceVersionMatch: metav1.ResourceVersionMatchExact,
	})
	if err != nil {
		return "", fmt.Errorf("list at resource version %s: %w", snapshot.ResourceVersion(), err)
	}
	pods := make([]*corev1.Pod, len(list.Items))
	for i := range list.Items {
		pods[i] = &list.Items[i]
		pods[i].ManagedFields = nil
		if trimmed {
			pods[i].Spec = corev1.PodSpec{
				NodeName:      pods[i].Spec.NodeName,
				RestartPolicy: pods[i].Spec.RestartPolicy,
			}
		}
	}
	listed, held := membersOf(pods), membersIn(snapshot)
	if equal.DeepEqual(listed, held) {
		return "", nil
	}
	return fmt.Sprintf("at resource version %s (-listed +held):\n%s", snapshot.ResourceVersion(), cmp.Diff(listed, held)), nil
}

// membersOf reads the pods with a new store, so that Executor is compared as well as its pod.
func membersOf(pods []*corev1.Pod) []member {
	store := watchsource.NewStore()
	store.ReplaceSnapshot(pods)
	return membersIn(store.Snapshot())
}

func membersIn(snapshot watchsource.Snapshot) []member {
	var members []member
	for e := range snapshot.All() {
		pod, err := e.Pod()
		if err == nil {
			pod.TypeMeta = metav1.TypeMeta{} // which only some clients set
		}
		members = append(members, member{e, pod})
	}
	return members
}
