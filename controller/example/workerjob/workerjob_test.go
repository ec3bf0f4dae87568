// SPDX-License-Identifier: Apache-2.0

package workerjob_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/executorpods/watchsource/controller/example/workerjob"
	"github.com/executorpods/watchsource/watchtest"
)

// manyEnds lets the workers of a job end in all ways, one after the other.
func manyEnds(pod *corev1.Pod) watchtest.Lifecycle {
	switch pod.Labels[workerjob.LabelIndex] {
	case "0":
		return watchtest.Lifecycle{RunFor: 10 * time.Second}
	case "1":
		return watchtest.Lifecycle{RunFor: 15 * time.Second}
	case "2":
		return watchtest.Lifecycle{RunFor: 15 * time.Second, ExitCode: 1}
	case "3":
		return watchtest.Lifecycle{RunFor: 20 * time.Second, ExitCode: 137}
	case "4":
		return watchtest.Lifecycle{EvictAfter: 25 * time.Second}
	default:
		return watchtest.Lifecycle{DeleteAfter: 30 * time.Second}
	}
}

// manyEndsStatus is the status of a job with six workers that end so.
func manyEndsStatus() workerjob.Status {
	return workerjob.Status{
		Succeeded: 2, Failed: 4, Ended: "0-5", Complete: true,
		ExitCodes: map[string]int32{"0": 2, "1": 1, "137": 1, "143": 1, "none": 1},
		Reasons:   map[string]int32{"Error": 2, "OOMKilled": 1, "Evicted": 1},
	}
}

func (c *cluster) requireStatus(got, want workerjob.Status) {
	c.Helper()
	if !reflect.DeepEqual(got, want) {
		c.Errorf("the status is %+v, want %+v", got, want)
	}
}

// A job runs each worker once, and its status says how each has ended.
func TestWorkersEnd(t *testing.T) {
	inBubble(t, manyEnds, func(c *cluster) {
		p := c.start(0, false)
		defer p.stop()
		c.createJob(6)
		p.queue.Add(request)
		time.Sleep(9 * time.Second)
		if status := c.job().Status; status.Running != 6 || status.Ended != "" {
			c.Errorf("after nine seconds the status is %+v, want six running workers", status)
		}
		c.requireStatus(c.awaitComplete(), manyEndsStatus())
		if created := c.server.Count(watchtest.Create); created != 6 {
			c.Errorf("%d pods were created, want 6", created)
		}
		if patched := c.server.Count(watchtest.Patch); patched != 6 {
			c.Errorf("%d patches were sent, want one for each pod", patched)
		}
		if read := c.server.Count(watchtest.Get | watchtest.List); read > 1 {
			c.Errorf("%d reads of pods, want at most the list of the watch", read)
		}
	})
}

// writesOfAJob is how many writes a process makes for the job that runs undisturbed.
func writesOfAJob(t *testing.T) int {
	writes := 0
	inBubble(t, manyEnds, func(c *cluster) {
		c.createJob(6)
		p := c.start(0, false)
		defer p.stop()
		c.awaitComplete()
		time.Sleep(time.Minute)
		writes = p.client.life.count()
	})
	return writes
}

// A process may die at any of its writes, before or after it is executed. Workers end while no
// process runs, and their pods are deleted. Each end is counted once all the same, and no worker runs
// twice.
func TestEachEndIsCountedOnce(t *testing.T) {
	all := writesOfAJob(t)
	if all < 15 {
		t.Fatalf("a job needs %d writes, want at least 15", all)
	}
	for dieAt := 1; dieAt <= all; dieAt++ {
		for _, applied := range []bool{false, true} {
			t.Run(fmt.Sprintf("write %d, applied %t", dieAt, applied), func(t *testing.T) {
				inBubble(t, manyEnds, func(c *cluster) { c.requireEachEndOnce(dieAt, applied) })
			})
		}
	}
}

func (c *cluster) requireEachEndOnce(dieAt int, applied bool) {
	c.createJob(6)
	for _, write := range []int{dieAt, dieAt/2 + 1} { // the second process dies too
		p := c.start(write, applied)
		awaitDeath(p)
		p.stop()
		time.Sleep(12 * time.Second) // without a process
		c.deleteEnded()
	}
	p := c.start(0, false)
	defer p.stop()
	c.requireStatus(c.awaitComplete(), manyEndsStatus())
	time.Sleep(time.Minute)
	c.requireStatus(c.job().Status, manyEndsStatus())
	if created := c.server.Count(watchtest.Create); created > 6+2 {
		c.Errorf("%d pods were created, want each once, and two attempts that were refused", created)
	}
	for _, pod := range c.server.List("") {
		if len(pod.Finalizers) > 0 {
			c.Errorf("the pod %s still has the finalizers %v", pod.Name, pod.Finalizers)
		}
	}
}

// awaitDeath waits until a process has died, or has nothing to write any more.
func awaitDeath(p *process) {
	select {
	case <-p.died:
	case <-time.After(2 * time.Minute):
	}
	synctest.Wait()
}

// Two processes may work for a moment at the same time, if the one that loses the lease is slow. The
// API server refuses the status of a process that has read an older one.
func TestTwoProcessesAtOnce(t *testing.T) {
	inBubble(t, manyEnds, func(c *cluster) {
		c.createJob(6)
		for range 2 {
			p := c.start(0, false)
			defer p.stop()
		}
		c.requireStatus(c.awaitComplete(), manyEndsStatus())
		time.Sleep(time.Minute)
		c.requireStatus(c.job().Status, manyEndsStatus())
	})
}

// A process is slow to write a status. Meanwhile another one counts all ends, and the pods are
// deleted. The API server refuses the old status, which lacks ends that cannot be counted again.
func TestStatusThatComesTooLate(t *testing.T) {
	inBubble(t, manyEnds, func(c *cluster) {
		c.createJob(6)
		slow := c.start(0, false)
		defer slow.stop()
		time.Sleep(12 * time.Second) // worker 0 is counted
		slow.client.life.beforeStatus = func() {
			other := c.start(0, false)
			c.requireStatus(c.awaitComplete(), manyEndsStatus())
			time.Sleep(5 * time.Second)
			other.stop()
			c.deleteEnded()
		}
		time.Sleep(2 * time.Minute)
		c.requireStatus(c.job().Status, manyEndsStatus())
		if created := c.server.Count(watchtest.Create); created != 6 {
			c.Errorf("%d pods were created, want 6", created)
		}
	})
}

// A reconcile that begins before the view has the new pods would create them again.
func TestViewHasTheNewPods(t *testing.T) {
	inBubble(t, manyEnds, func(c *cluster) {
		p := c.start(0, false)
		defer p.stop()
		synctest.Wait()
		lift := c.server.Strike(watchtest.Silence())
		c.createJob(6)
		for range 3 {
			p.queue.Add(request)
			time.Sleep(time.Second)
		}
		lift()
		c.requireStatus(c.awaitComplete(), manyEndsStatus())
		if created := c.server.Count(watchtest.Create); created != 6 {
			c.Errorf("%d requests to create a pod were sent, want 6", created)
		}
	})
}

// A job that is deleted takes its pods along, and goes when they are gone.
func TestDeletedJob(t *testing.T) {
	inBubble(t, func(*corev1.Pod) watchtest.Lifecycle { return watchtest.Lifecycle{} }, func(c *cluster) {
		c.createJob(3)
		p := c.start(0, false)
		defer p.stop()
		time.Sleep(10 * time.Second)
		must(c.T, c.jobs.Delete(c.Context(), c.job()))
		p.queue.Add(request)
		time.Sleep(2 * time.Minute)
		if pods := c.server.List(""); len(pods) > 0 {
			c.Errorf("%d pods are left, want none", len(pods))
		}
		if err := c.jobs.Get(c.Context(), request.NamespacedName, &workerjob.WorkerJob{}); !apierrors.IsNotFound(err) {
			c.Errorf("reading the deleted job: %v, want NotFound", err)
		}
	})
}

// A pod that is removed by force has no end, and its worker runs again.
func TestPodThatIsRemovedByForce(t *testing.T) {
	inBubble(t, func(*corev1.Pod) watchtest.Lifecycle { return watchtest.Lifecycle{RunFor: time.Minute} }, func(c *cluster) {
		c.createJob(2)
		p := c.start(0, false)
		defer p.stop()
		time.Sleep(30 * time.Second)
		c.server.Delete("default", "job-1")
		time.Sleep(5 * time.Second)
		if status := c.job().Status; status.Running+status.Pending != 2 {
			c.Errorf("the status is %+v, want two active workers", status)
		}
		status := c.awaitComplete()
		if status.Succeeded != 2 {
			c.Errorf("the status is %+v, want two workers that succeeded", status)
		}
	})
}

// A pod that is deleted before it has a node gets no other state. Its worker has failed.
func TestPodDeletedBeforeItHasANode(t *testing.T) {
	inBubble(t, nil, func(c *cluster) {
		c.createJob(2)
		p := c.start(0, false)
		defer p.stop()
		time.Sleep(5 * time.Second)
		pods := c.server.Client().CoreV1().Pods("default")
		for _, name := range []string{"job-0", "job-1"} {
			must(c.T, pods.Delete(c.Context(), name, metav1.DeleteOptions{}))
		}
		c.requireStatus(c.awaitComplete(), workerjob.Status{
			Failed: 2, Ended: "0-1", Complete: true,
			ExitCodes: map[string]int32{"none": 2}, Reasons: map[string]int32{"Deleted": 2},
		})
		time.Sleep(5 * time.Second)
		if left := c.server.List(""); len(left) > 0 {
			c.Errorf("%d pods are left, want none", len(left))
		}
	})
}

// The text of a set of indexes is that of its intervals.
func TestIndexesInTheStatus(t *testing.T) {
	inBubble(t, func(pod *corev1.Pod) watchtest.Lifecycle {
		if strings.Contains("0 1 2 4 7", pod.Labels[workerjob.LabelIndex]) {
			return watchtest.Lifecycle{RunFor: time.Second}
		}
		return watchtest.Lifecycle{}
	}, func(c *cluster) {
		c.createJob(8)
		for _, write := range []int{12, 0} { // the second process reads what the first has written
			p := c.start(write, true)
			time.Sleep(time.Minute)
			p.stop()
		}
		if ended := c.job().Status.Ended; ended != "0-2,4,7" {
			c.Errorf("the ended workers are %q, want 0-2,4,7", ended)
		}
	})
}
