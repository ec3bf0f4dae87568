// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// statusPatches keeps the patches that it is asked for, and fails them with err.
type statusPatches struct {
	client.StatusWriter
	sent []string
	err  error
}

func (p *statusPatches) Patch(_ context.Context, object client.Object, patch client.Patch, _ ...client.SubResourcePatchOption) error {
	data, err := patch.Data(object)
	if err != nil {
		return err
	}
	p.sent = append(p.sent, object.GetNamespace()+"/"+object.GetName()+" "+string(data))
	return p.err
}

// The reconciler writes the counts of an owner when they have changed, and again if the API server
// has not taken them. Each reconcile counts.
func TestReconcilerWritesWhatHasChanged(t *testing.T) {
	status, log := &statusPatches{}, newReconcileLog(testSizes)
	r := newReconciler(status, log)
	owner := types.NamespacedName{Namespace: namespace, Name: firstOwner}
	for _, step := range []struct {
		counts workerCounts
		err    error
		writes bool
	}{
		{counts: workerCounts{pending: 2, running: 3}, writes: true},
		{counts: workerCounts{pending: 2, running: 3}},
		{counts: workerCounts{running: 4, succeeded: 1}, err: errors.New("refused"), writes: true},
		{counts: workerCounts{running: 4, succeeded: 1}, writes: true},
		{counts: workerCounts{running: 4, succeeded: 1}},
	} {
		counts := step.counts
		status.sent, status.err = nil, step.err
		if _, err := r.reconcile(t.Context(), owner, counts); !errors.Is(err, step.err) {
			t.Errorf("%+v: error %v, want %v", step.counts, err, step.err)
		}
		var want []string
		if step.writes {
			want = []string{fmt.Sprintf(`%s {"status":{"active":%d,"ready":%d,"succeeded":%d,"failed":0}}`,
				owner, counts.pending+counts.running, counts.running, counts.succeeded)}
		}
		if !slices.Equal(status.sent, want) {
			t.Errorf("%+v: patches %q, want %q", step.counts, status.sent, want)
		}
	}
	if n := log.counts().first; n != 5 {
		t.Errorf("%d reconciles are counted, want 5", n)
	}
}

// The initial list is complete when the status of each of the other owners has its workers. The
// scenario has ended when the statuses of both owners have their last change.
func TestReconcileLog(t *testing.T) {
	sizes := ownerSizes{Workers: 3, Others: 2, Each: 4}
	log := newReconcileLog(sizes)
	isClosed := func(c <-chan struct{}) bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
	for _, step := range []struct {
		owner           string
		counts          workerCounts
		complete, ended bool
	}{
		{owner: nthApp(1), counts: workerCounts{running: 3}},
		{owner: nthApp(1), counts: workerCounts{running: 4}},
		{owner: nthApp(1), counts: workerCounts{running: 4}},
		{owner: firstOwner, counts: workerCounts{running: 4}},
		{owner: nthApp(2), counts: workerCounts{running: 3}},
		{owner: nthApp(2), counts: workerCounts{running: 4}, complete: true},
		{owner: firstOwner, counts: workerCounts{running: 1, succeeded: 2}, complete: true},
		{owner: firstOwner, counts: workerCounts{succeeded: 3}, complete: true},
		{owner: firstOwner, counts: workerCounts{succeeded: 3}, complete: true},
		{owner: nthApp(2), counts: workerCounts{running: 3, succeeded: 1}, complete: true},
		{owner: nthApp(1), counts: workerCounts{running: 4}, complete: true},
		{owner: nthApp(1), counts: workerCounts{running: 3, succeeded: 1}, complete: true, ended: true},
		{owner: nthApp(1), counts: workerCounts{running: 3, succeeded: 1}, complete: true, ended: true},
	} {
		log.count(step.owner)
		log.see(step.owner, step.counts)
		if isClosed(log.complete) != step.complete || isClosed(log.ended) != step.ended {
			t.Fatalf("after %s with %+v: complete %t, ended %t, want %t and %t", step.owner, step.counts,
				isClosed(log.complete), isClosed(log.ended), step.complete, step.ended)
		}
	}
	c := log.counts()
	if c.first != 4 || c.second != 6 || c.rest != 3 || c.firstSeen == 0 || c.secondSeen < c.firstSeen {
		t.Errorf("counted %+v, want 4, 6 and 3 reconciles, and the second owner seen last", c)
	}
	log.begin()
	if c := log.counts(); c != (reconciles{}) {
		t.Errorf("counted %+v after the begin, want nothing", c)
	}
}
