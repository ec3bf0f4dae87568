// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/executorpods/watchsource"
)

func TestBacklogLimit(t *testing.T) {
	log := &logLines{}
	store := watchsource.NewStore(watchsource.WithBacklogLimit(4), watchsource.WithLogger(log.logger(0)))
	for i := range 3 {
		store.UpdatePod(pod(fmt.Sprint(i), uid(fmt.Sprint(i)), phase(corev1.PodRunning)))
	}
	r := newBatchReader(t, store, 0)
	if batch := r.want(t, "exec-0 nothing>Running, exec-1 nothing>Running, exec-2 nothing>Running"); !batch.Full || batch.Missed != 0 {
		t.Errorf("the first batch: full %v, missed %d, want true, 0", batch.Full, batch.Missed)
	}

	// As many changes as allowed: an end and a disappearance count one each.
	store.UpdatePod(pod("0", uid("0"), phase(corev1.PodFailed)))
	store.DeletePod(pod("0", uid("0"), phase(corev1.PodFailed)))
	store.UpdatePod(pod("3", uid("3")))
	store.UpdatePod(pod("3", uid("3"), phase(corev1.PodRunning)))
	store.DeletePod(pod("1", uid("1"), phase(corev1.PodRunning)))
	if batch := r.want(t, "exec-0 Running>Failed, exec-0 Failed>Deleted, exec-3 nothing>Running, exec-1 Running>Deleted"); batch.Full || batch.Missed != 0 {
		t.Errorf("a batch within the limit: full %v, missed %d, want false, 0", batch.Full, batch.Missed)
	}
	if lines := log.matching("lags"); len(lines) != 0 {
		t.Errorf("within the limit the log has %q, want nothing", lines)
	}

	// More: three leave before and after the limit is reached, one ends and stays.
	store.DeletePod(pod("2", uid("2")))
	for i := range 4 {
		store.UpdatePod(pod(fmt.Sprint(4+i), uid(fmt.Sprint(4+i))))
	}
	if backlogs := store.Backlogs(); len(backlogs) != 1 || !backlogs[0].Dropped {
		t.Errorf("backlogs %+v, want one that was given up", backlogs)
	}
	store.UpdatePod(pod("3", uid("3"), phase(corev1.PodFailed)))
	store.DeletePod(pod("4", uid("4")))
	store.DeletePod(pod("5", uid("5")))
	if batch := r.want(t, "exec-3 nothing>Failed, exec-6 nothing>Pending, exec-7 nothing>Pending"); !batch.Full || batch.Missed != 3 {
		t.Errorf("the batch beyond the limit: full %v, missed %d, want true, 3", batch.Full, batch.Missed)
	}
	if lines := log.matching("Reader of batches lags", `"dropped"=true`); len(lines) != 1 {
		t.Errorf("beyond the limit the log has %q, want one line", lines)
	}

	// From then on all is as before.
	store.UpdatePod(pod("6", uid("6"), phase(corev1.PodRunning)))
	if batch := r.want(t, "exec-6 Pending>Running"); batch.Full || batch.Missed != 0 {
		t.Errorf("the batch after it: full %v, missed %d, want false, 0", batch.Full, batch.Missed)
	}
}

// A reader that lags is named in the log, once, by the line that called Batches. A reader
// that returns after its interval is not.
func TestLaggingReaderIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &logLines{}
		store := watchsource.NewStore(watchsource.WithLogger(log.logger(0)))
		ctx, cancel := context.WithCancel(t.Context())
		var readers sync.WaitGroup
		defer readers.Wait()
		defer cancel()
		read := func(interval, nap time.Duration) {
			for range store.Batches(ctx, interval) {
				time.Sleep(nap)
			}
		}
		readers.Go(func() { read(0, 29*time.Second) })
		readers.Go(func() { read(10*time.Minute, 0) })
		readers.Go(func() { read(time.Minute, time.Hour) })
		synctest.Wait()
		began := time.Now()
		for i := range 3600 {
			time.Sleep(time.Second)
			store.UpdatePod(pod(fmt.Sprint(i%10), uid(fmt.Sprint(i%10)), version(fmt.Sprint(i+1))))
			if named := len(log.matching("lags")) > 0; named != (i >= 90) {
				t.Fatalf("after %v the log names a reader: %v, want %v", time.Since(began), named, i >= 90)
			}
			if i == 300 {
				backlogs := store.Backlogs()
				if len(backlogs) < 2 || backlogs[0].Changes != 10 || !backlogs[0].Since.Equal(began.Add(time.Second)) || !strings.HasPrefix(backlogs[0].Reader, "backlog_test.go:") {
					t.Errorf("backlogs %+v, want 10 changes of a reader of this file since %v first", backlogs, began.Add(time.Second))
				}
			}
		}
		if lines := log.matching("lags"); len(lines) != 1 || !strings.Contains(lines[0], `"reader"="backlog_test.go:`) {
			t.Errorf("the log has %q, want one line with a reader of this file", lines)
		}
	})
}
