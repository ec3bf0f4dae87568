// SPDX-License-Identifier: Apache-2.0

package screen

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/watchtest"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// fail makes a pod fail as a kubelet does that knows nothing of its container: the status has a
// reason and no container.
func (c cluster) fail(id int, reason, message string) {
	c.server.Update(testSpace, c.name(id), func(pod *corev1.Pod) {
		pod.Status = corev1.PodStatus{Phase: corev1.PodFailed, Reason: reason, Message: message}
	})
}

// finish ends an executor with what the clock of its node said at its start and at its end.
func (c cluster) finish(id int, started, finished time.Time) {
	c.server.Update(testSpace, c.name(id), func(pod *corev1.Pod) {
		pod.Status.Phase = corev1.PodFailed
		setContainer(pod, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: 1, Reason: "Error", StartedAt: metav1.NewTime(started), FinishedAt: metav1.NewTime(finished),
		}})
	})
}

// watching is the state of a watch without a fault.
var watching = watchsource.Status{Phase: watchsource.Watching}

// withoutTimes brings an application to a state with pods that do not say when they ended.
func withoutTimes(server *watchtest.Server) cluster {
	c := cluster{server, testApp}
	c.create(1, 9)
	c.run(1, 9)
	time.Sleep(time.Hour)
	c.fail(1, "Evicted", "The node was low on resource: memory. ")
	c.fail(2, "OutOfcpu", "Pod was rejected: Node didn't have enough resource: cpu")
	c.fail(3, "UnexpectedAdmissionError", "Allocate failed due to no healthy devices present")
	c.server.Update(testSpace, c.name(4), func(pod *corev1.Pod) {
		pod.Status.Phase = corev1.PodFailed
		setContainer(pod, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "ContainerStatusUnknown"}})
	})
	now := time.Now()
	c.finish(5, now.Add(-50*time.Minute), now.Add(-10*time.Minute))
	c.finish(6, now.Add(-50*time.Minute), time.Unix(0, 0))
	c.finish(7, now.Add(-50*time.Minute), now.Add(-55*time.Minute))
	c.finish(8, now.Add(-50*time.Minute), now.AddDate(10, 0, 0))
	time.Sleep(17 * time.Minute)
	return c
}

// Ends that were there when the screen opened, and do not say when they were, are shown with the time by
// which they had been, and without a life.
func TestEndsWithoutATime(t *testing.T) {
	inSizes(t, func(t *testing.T, width, height int) {
		server := watchtest.NewServer()
		withoutTimes(server)
		term := open(t, server, testApp, width, height)
		if height < 14 {
			term.press(tab)
		}
		term.golden()
	})
}

// The details have the same words.
func TestDetailsOfAnEndWithoutATime(t *testing.T) {
	inSizes(t, func(t *testing.T, width, height int) {
		server := watchtest.NewServer()
		withoutTimes(server)
		term := open(t, server, testApp, width, height)
		term.press("/", "e", "v", "i", "c", "t", enter, tab, enter)
		term.golden()
	})
}

// An end that is seen live has the time of the change.
func TestEndsThatAreSeenLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		term := open(t, server, testApp, 80, 24)
		c := cluster{server, testApp}
		c.create(1, 3)
		c.run(1, 2)
		time.Sleep(2 * time.Minute)
		c.evict(1)
		c.delete(2, 3)
		term.settle()
		term.require(
			"   1     Evicted                     2m    node-2        00:02:00 kept",
			"   2     Deleted                     2m    node-3        00:02:00 deleted",
			"   3     Deleted                     -     node-4        00:02:00 deleted", // it has not started
		)
	})
}

// What happened while the watch was broken has no time, whether the watch resumes or lists again. What
// happens a while later has.
func TestEndsDuringAnOutage(t *testing.T) {
	for name, expired := range map[string]bool{"resumed": false, "listed again": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := watchtest.NewServer()
				term := open(t, server, testApp, 80, 24)
				c := cluster{server, testApp}
				c.create(1, 4)
				c.run(1, 4)
				time.Sleep(time.Minute)
				lift := server.Inject(watchtest.Fault{Do: watchtest.Answer(apierrors.NewServiceUnavailable("leader changed"))})
				server.Strike(watchtest.Reset())
				time.Sleep(10 * time.Second)
				c.evict(1)
				c.delete(2)
				if expired {
					server.Compact()
				}
				time.Sleep(time.Minute)
				lift()
				time.Sleep(2 * time.Minute) // with the next attempt in it, and not close to the end of a second
				synctest.Wait()
				if status := term.source.Status(); (status.Relists == 1) != expired || status.Resumes == 0 {
					t.Fatalf("%d relists, %d resumes; want it to be %s", status.Relists, status.Resumes, name)
				}
				term.require("LIVE", "before 00:0", "kept", "deleted")
				c.evict(3)
				c.delete(4)
				term.settle()
				term.require(
					"   3     Evicted                     4m10s node-4        00:04:10        kept",
					"   4     Deleted                     4m10s node-5        00:04:10        deleted",
					"   1     Evicted                     -     node-2        before 00:0",
					"   2     Deleted                     -     node-3        before 00:0",
				)
			})
		})
	}
}

// Changes that wait while the process is suspended have no time either.
func TestEndsWhileSuspended(t *testing.T) {
	var i interruption
	now := time.Now()
	i.observe(now, watching, true)
	for range 60 {
		now = now.Add(tickInterval)
		i.observe(now, watching, true)
	}
	if i.explains(now) {
		t.Error("a change after a quiet minute may have happened before, want not")
	}
	now = now.Add(time.Minute)
	i.observe(now, watching, true)
	if !i.explains(now) {
		t.Error("a change after a minute without a tick has happened now, want before")
	}
}

// A watch that was given up because it was silent, and another list, may bring old changes.
func TestEndsAfterASilence(t *testing.T) {
	now := time.Now()
	for name, change := range map[string]func(i *interruption){
		"given up": func(i *interruption) {
			stalled := watching
			stalled.Stalls++
			i.observe(now, stalled, true)
		},
		"another list": func(i *interruption) { i.list(now) },
	} {
		var i interruption
		i.observe(now, watching, true)
		i.list(now.Add(-time.Hour))
		if i.explains(now) {
			t.Errorf("%s: the first changes after the start may have happened before, want not", name)
		}
		change(&i)
		if !i.explains(now) || i.explains(now.Add(2*catchUp)) {
			t.Errorf("%s: may have happened before: now %v, later %v; want only now", name, i.explains(now), i.explains(now.Add(2*catchUp)))
		}
	}
}

// A young pod that ended before the screen opened has no time either.
func TestEndShortlyBeforeTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		c := cluster{server, testApp}
		c.create(1, 1)
		c.run(1, 1)
		time.Sleep(20 * time.Second)
		c.evict(1)
		time.Sleep(10 * time.Second)
		term := open(t, server, testApp, 80, 24)
		term.require("   1     Evicted                     -     node-2        before 00:00:30 kept")
	})
}

// The end of another day is shown with the day.
func TestEndOfAnotherDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		c := cluster{server, testApp}
		c.create(1, 1)
		c.run(1, 1)
		time.Sleep(time.Minute)
		c.end(1, 1, "Error")
		time.Sleep(30 * time.Hour)
		term := open(t, server, testApp, 80, 24)
		term.require("   1     exit 1                      60s   node-2        01-01 00:01")
	})
}

// A pod that is created again with the name of one that has ended is another executor. Enter on the end opens
// the end, and enter on the executor opens the executor.
func TestPodOfOneNameAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		term := open(t, server, testApp, 80, 24)
		c := cluster{server, testApp}
		c.create(1, 1)
		c.run(1, 1)
		time.Sleep(time.Minute)
		c.end(1, 52, "Error")
		c.delete(1)
		c.create(1, 1)
		c.run(1, 1)
		term.settle()
		term.press(enter)
		term.require("state         Running")
		term.requireNot("exit 52")
		term.press(escape, tab, enter)
		term.require("state         exit 52 (JVM out of memory)", "after 60s; the pod has been")
		term.requireNot("Running")
	})
}

// Each end of an executor that the kubelet starts again can be opened.
func TestEndsOfOneExecutor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		term := open(t, server, testApp, 80, 24)
		c := cluster{server, testApp}
		c.create(1, 1)
		for restarts, code := range []int32{3, 4} {
			server.Update(testSpace, c.name(1), func(pod *corev1.Pod) {
				pod.Spec.RestartPolicy = corev1.RestartPolicyAlways
				pod.Status.Phase = corev1.PodRunning
				setContainer(pod, corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}})
				pod.Status.ContainerStatuses[0].RestartCount = int32(restarts)
			})
			time.Sleep(time.Minute)
			server.Update(testSpace, c.name(1), func(pod *corev1.Pod) {
				started := pod.Status.ContainerStatuses[0].State.Running.StartedAt
				setContainer(pod, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
					ExitCode: code, Reason: "Error", StartedAt: started, FinishedAt: metav1.Now(),
				}})
				pod.Status.ContainerStatuses[0].RestartCount = int32(restarts)
			})
			time.Sleep(time.Second)
		}
		server.Update(testSpace, c.name(1), func(pod *corev1.Pod) {
			setContainer(pod, corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}})
			pod.Status.ContainerStatuses[0].RestartCount = 2
		})
		term.settle()
		term.press(tab, enter)
		term.require("state         exit 4", "finished      2000-01-01 00:02:01", "now           Running")
		term.press(escape, "j", enter)
		term.require("state         exit 3", "finished      2000-01-01 00:01:00", "now           Running")
	})
}
