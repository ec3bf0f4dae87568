// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"context"
	"maps"
	"testing"
	"time"

	"github.com/executorpods/watchsource/integration/agreement"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
)

// mustEqualList demands that the store holds what the server had at the store's
// own resource version, field by field, while the pods go on changing.
func (a *application) mustEqualList(t *testing.T, s *source) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	diff, err := agreement.Difference(ctx, a.pods, selector, s.store.Snapshot(), false)
	if err != nil {
		t.Error(err)
	} else if diff != "" {
		t.Errorf("the server and the store differ %s", diff)
	}
}

// A holder has pods, at a resource version each.
type holder interface {
	holds() map[types.UID]string
}

// agree holds the application still, and reports for each holder whether it
// comes to hold just what the server has.
func (a *application) agree(t *testing.T, holders ...holder) []bool {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	list, err := a.pods.List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		t.Fatal(err)
	}
	listed := map[types.UID]string{}
	for i := range list.Items {
		listed[list.Items[i].UID] = list.Items[i].ResourceVersion
	}
	agreeing := make([]bool, len(holders))
	for i, h := range holders {
		const delivery = 2 * time.Second // of the events after the marker
		err := wait.PollUntilContextTimeout(ctx, 5*time.Millisecond, delivery, true, func(context.Context) (bool, error) {
			return maps.Equal(h.holds(), listed), nil
		})
		agreeing[i] = err == nil
	}
	return agreeing
}
