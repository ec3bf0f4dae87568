// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"
)

// A workerEnd is how a worker ends: an exit code, or one of the constants.
type workerEnd string

const (
	workerEvicted workerEnd = "evicted"
	workerDeleted workerEnd = "deleted"
)

// workerEnds repeat: 65 % of the workers succeed.
var workerEnds = []workerEnd{
	"0", "1", "0", "137", "0", workerEvicted, "0", "0", "1", "0",
	workerDeleted, "0", "0", "0", workerEvicted, "0", "1", "0", "0", "0",
}

func (e workerEnd) exitCode() string {
	switch e {
	case workerEvicted:
		return "137"
	case workerDeleted:
		return "143"
	default:
		return string(e)
	}
}

func (e workerEnd) reason() string {
	switch e {
	case workerEvicted:
		return "Evicted"
	case "137":
		return "OOMKilled"
	default:
		return "Error"
	}
}

// evictionPatch is the status that a kubelet writes when it evicts a pod.
const evictionPatch = `{"status":{"phase":"Failed","reason":"Evicted","message":"The node was low on resource: memory.",
	"conditions":[{"type":"DisruptionTarget","status":"True","reason":"TerminationByKubelet"}],
	"containerStatuses":[{"name":"worker","image":"worker","imageID":"","ready":false,"restartCount":0,
		"state":{"running":null,"terminated":{"exitCode":137,"reason":"Error"}}}]}}`

func workerPod(index int) string { return fmt.Sprintf("%s-%d", operatorJob, index) }

// A jobStatus is the status of a WorkerJob.
type jobStatus struct {
	Pending, Running, Succeeded, Failed int
	Ended                               string
	ExitCodes, Reasons                  map[string]int
	Complete                            bool
}

func (s jobStatus) ended() int { return s.Succeeded + s.Failed }

// endedIndexes counts the indexes in Ended.
func (s jobStatus) endedIndexes() (count int, err error) {
	for part := range strings.SplitSeq(s.Ended, ",") {
		if part == "" {
			continue
		}
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		first, err := strconv.Atoi(from)
		if err != nil {
			return 0, err
		}
		last, err := strconv.Atoi(to)
		if err != nil {
			return 0, err
		}
		count += last - first + 1
	}
	return count, nil
}

// A jobHistory has every status that a job has had.
type jobHistory struct {
	mu       sync.Mutex
	statuses []jobStatus
}

// recordStatuses watches the job until the test ends.
func recordStatuses(t *testing.T, jobs dynamic.ResourceInterface) *jobHistory {
	t.Helper()
	h := &jobHistory{}
	only := fields.OneTermEqualSelector("metadata.name", operatorJob).String()
	list, err := jobs.List(t.Context(), metav1.ListOptions{FieldSelector: only})
	if err != nil {
		t.Fatal(err)
	}
	watcher, err := watchtools.NewRetryWatcherWithContext(t.Context(), list.GetResourceVersion(), &cache.ListWatch{
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			options.FieldSelector = only
			return jobs.Watch(ctx, options)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	h.add(t, &list.Items[0])
	go func() {
		for event := range watcher.ResultChan() {
			if job, ok := event.Object.(*unstructured.Unstructured); ok && event.Type != watch.Deleted {
				h.add(t, job)
			}
		}
	}()
	return h
}

func (h *jobHistory) add(t *testing.T, job *unstructured.Unstructured) {
	text, err := json.Marshal(job.Object["status"])
	if err != nil {
		t.Error(err)
		return
	}
	var status jobStatus
	if err := json.Unmarshal(text, &status); err != nil {
		t.Error(err)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.statuses = append(h.statuses, status)
}

func (h *jobHistory) all() []jobStatus {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]jobStatus(nil), h.statuses...)
}

func (h *jobHistory) last() jobStatus {
	all := h.all()
	return all[len(all)-1]
}

func (o *operatorTest) status() jobStatus { return o.statuses.last() }

// await waits for a status.
func (o *operatorTest) await(what string, reached func(jobStatus) bool) {
	o.t.Helper()
	begin := time.Now()
	err := wait.PollUntilContextTimeout(o.t.Context(), 50*time.Millisecond, operatorPatience, true, func(context.Context) (bool, error) {
		return reached(o.status()), nil
	})
	if err != nil {
		o.t.Fatalf("wait until %s: %v, the status is %+v", what, err, o.status())
	}
	o.t.Logf("%s, after %v", what, time.Since(begin).Round(100*time.Millisecond))
}

// requireNoEndWasCountedTwice checks each status that the job has had.
func (o *operatorTest) requireNoEndWasCountedTwice() {
	o.t.Helper()
	before := 0
	for i, status := range o.statuses.all() {
		byCode, byIndex := 0, 0
		for _, n := range status.ExitCodes {
			byCode += n
		}
		byIndex, err := status.endedIndexes()
		if err != nil {
			o.t.Fatalf("the indexes in status %d: %v", i, err)
		}
		if counted := status.ended(); counted < before || counted != byCode || counted != byIndex {
			o.t.Errorf("status %d counts %d ends after %d, %d exit codes and %d workers, want as many of each, and never fewer",
				i, counted, before, byCode, byIndex)
		}
		before = status.ended()
	}
	o.t.Logf("the job has had %d statuses", len(o.statuses.all()))
}
