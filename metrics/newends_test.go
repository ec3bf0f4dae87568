// SPDX-License-Identifier: Apache-2.0

package metrics_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/metrics"
	"github.com/executorpods/watchsource/watchtest"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const killed = "OOMKilled"

// endNow ends the executor container, or a later run of it, with its times.
func endNow(server *watchtest.Server, name, reason string) {
	now := metav1.NewTime(time.Now())
	server.Update("default", name, func(pod *corev1.Pod) {
		restarts := int32(0)
		for _, last := range pod.Status.ContainerStatuses {
			restarts = last.RestartCount
		}
		pod.Status.Phase = corev1.PodFailed
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
			Name: "spark-kubernetes-executor", RestartCount: restarts, ContainerID: fmt.Sprint("test://", name, restarts),
			State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
				ExitCode: 137, Reason: reason, ContainerID: fmt.Sprint("test://", name, restarts), StartedAt: now, FinishedAt: now,
			}},
		}}
	})
	synctest.Wait()
}

// restart starts the executor container again.
func restart(server *watchtest.Server, name string) {
	now := metav1.NewTime(time.Now())
	server.Update("default", name, func(pod *corev1.Pod) {
		last := pod.Status.ContainerStatuses[0]
		pod.Status.Phase = corev1.PodRunning
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
			Name: last.Name, RestartCount: last.RestartCount + 1, ContainerID: fmt.Sprint("test://", name, last.RestartCount+1),
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}}, LastTerminationState: last.State,
		}}
	})
	synctest.Wait()
}

// evict makes a pod fail without a time.
func evict(server *watchtest.Server, name string) {
	server.Update("default", name, func(pod *corev1.Pod) { pod.Status.Phase, pod.Status.Reason = corev1.PodFailed, "Evicted" })
	synctest.Wait()
}

func relabel(server *watchtest.Server, name, label, value string) {
	server.Update("default", name, func(pod *corev1.Pod) { pod.Labels[label] = value })
	synctest.Wait()
}

// endsOf returns the numbers of ends that were counted, by their reasons.
func endsOf(t *testing.T, collector *metrics.Collector) map[string]int {
	t.Helper()
	synctest.Wait()
	return reasonsOf(t, collector, "watchsource_executor_ends_total")
}

// endsCases are those of TestNewEnds. Pods are created and ended by before, three days before the
// collector is made, and by after once the source is started.
var endsCases = []struct {
	name          string
	before, after func(s *watchtest.Server, a *application, t *testing.T)
	want          string
}{
	{
		name: "ends of three days ago",
		before: func(s *watchtest.Server, _ *application, _ *testing.T) {
			for i := range 6 {
				createPod(s, "app", fmt.Sprint("exec-", i))
				endNow(s, fmt.Sprint("exec-", i), killed)
			}
			createPod(s, "app", "evicted")
			evict(s, "evicted")
		},
		after: func(s *watchtest.Server, _ *application, _ *testing.T) { s.Delete("default", "exec-1") },
		want:  "map[]",
	},
	{
		name: "an executor that was present ends",
		before: func(s *watchtest.Server, _ *application, _ *testing.T) {
			createPod(s, "app", "with-time")
			createPod(s, "app", "without-time")
		},
		after: func(s *watchtest.Server, _ *application, _ *testing.T) {
			endNow(s, "with-time", killed)
			evict(s, "without-time")
		},
		want: "map[Evicted:1 OOMKilled:1]",
	},
	{
		name: "an executor ends before its first state is seen",
		after: func(s *watchtest.Server, _ *application, _ *testing.T) {
			s.Create(executorPod("app", "quick")) // without a wait for the watch
			endNow(s, "quick", killed)
			s.Create(executorPod("app", "evicted"))
			evict(s, "evicted")
		},
		want: "map[Evicted:1 OOMKilled:1]",
	},
	{
		name: "an executor that ended before the Start runs again, and ends again",
		before: func(s *watchtest.Server, _ *application, _ *testing.T) {
			createPod(s, "app", "again")
			endNow(s, "again", killed)
			time.Sleep(time.Minute)
			restart(s, "again")
		},
		after: func(s *watchtest.Server, _ *application, _ *testing.T) {
			time.Sleep(time.Minute)
			endNow(s, "again", killed)
			restart(s, "again")
			time.Sleep(time.Minute)
			endNow(s, "again", "Error")
		},
		want: "map[Error:1 OOMKilled:1]",
	},
	{
		name: "ends during an outage",
		before: func(s *watchtest.Server, _ *application, _ *testing.T) {
			for _, name := range []string{"with-time", "without-time", "gone"} {
				createPod(s, "app", name)
			}
		},
		after: func(s *watchtest.Server, a *application, _ *testing.T) {
			lift := s.Inject(watchtest.Fault{On: watchtest.List | watchtest.Watch | watchtest.StreamingList, Do: watchtest.Refuse()})
			s.Strike(watchtest.Cut())
			endNow(s, "with-time", killed)
			evict(s, "without-time")
			s.Delete("default", "gone")
			s.Create(executorPod("app", "new"))
			evict(s, "new")
			s.Compact()
			time.Sleep(time.Hour)
			lift()
			time.Sleep(time.Hour)
		},
		want: "map[Evicted:2 OOMKilled:1 none:1]",
	},
	{
		name: "an old pod gets the label later",
		before: func(s *watchtest.Server, _ *application, _ *testing.T) {
			createPod(s, "other", "old")
			endNow(s, "old", killed)
			createPod(s, "other", "evicted")
			evict(s, "evicted")
			createPod(s, "other", "later")
		},
		after: func(s *watchtest.Server, _ *application, _ *testing.T) {
			endNow(s, "later", "Error")
			for _, name := range []string{"old", "evicted", "later"} {
				relabel(s, name, watchsource.LabelApp, "app")
			}
		},
		want: "map[Error:1]",
	},
	{
		name:   "a pod that has ended loses the label, and gets it again",
		before: func(s *watchtest.Server, _ *application, _ *testing.T) { createPod(s, "app", "moves") },
		after: func(s *watchtest.Server, _ *application, _ *testing.T) {
			endNow(s, "moves", killed)
			relabel(s, "moves", watchsource.LabelApp, "other")
			relabel(s, "moves", watchsource.LabelApp, "app")
		},
		want: "map[OOMKilled:1]",
	},
	{
		name: "the clock of the node is behind",
		after: func(s *watchtest.Server, _ *application, _ *testing.T) {
			s.Create(executorPod("app", "behind"))
			s.Update("default", "behind", func(pod *corev1.Pod) {
				pod.Status.Phase = corev1.PodFailed
				past := metav1.NewTime(time.Now().Add(-time.Hour))
				pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
					Name:  "spark-kubernetes-executor",
					State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error", StartedAt: past, FinishedAt: past}},
				}}
			})
		},
		want: "map[Error:1]",
	},
}

// The ends count that come after the collector began, not those that were there at Start.
func TestNewEnds(t *testing.T) {
	for _, c := range endsCases {
		for _, shared := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/shared %t", c.name, shared), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					server := watchtest.NewServer()
					if c.before != nil {
						c.before(server, nil, t)
					}
					time.Sleep(72*time.Hour + 300*time.Millisecond)
					newSource := single(server)
					if shared {
						newSource = watchsource.NewSharedWatch(server.Client()).Source
					}
					a := newApplication("app", newSource)
					collector := metrics.NewSharedCollector()
					defer collector.Close()
					a.addTo(t, collector)
					time.Sleep(time.Second)
					a.start(t)
					synctest.Wait()
					if c.after != nil {
						c.after(server, a, t)
					}
					if got := fmt.Sprint(endsOf(t, collector)); got != c.want {
						t.Errorf("ends %s, want %s", got, c.want)
					}
				})
			})
		}
	}
}

// An end between the making of the collector and Start counts, to the second.
func TestEndsSinceTheCollectorBegan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		for _, name := range []string{"before", "same-second", "after"} {
			createPod(server, "app", name)
		}
		time.Sleep(time.Hour)
		endNow(server, "before", "Error")
		time.Sleep(1100 * time.Millisecond)
		endNow(server, "same-second", killed)
		time.Sleep(500 * time.Millisecond)
		a := newApplication("app", single(server))
		collector := metrics.NewCollector(a.source, a.store)
		defer collector.Close()
		time.Sleep(time.Minute)
		endNow(server, "after", "Completed")
		a.start(t)
		if got, want := fmt.Sprint(endsOf(t, collector)), "map[Completed:1 OOMKilled:1]"; got != want {
			t.Errorf("ends %s, want %s", got, want)
		}
	})
}

// A collector that is made after Start counts from then on.
func TestCollectorAfterStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		createPod(server, "app", "ended")
		createPod(server, "app", "ends")
		a := newApplication("app", single(server))
		a.start(t)
		endNow(server, "ended", killed)
		time.Sleep(time.Hour)
		collector := metrics.NewCollector(a.source, a.store)
		defer collector.Close()
		endNow(server, "ends", "Error")
		if got, want := fmt.Sprint(endsOf(t, collector)), "map[Error:1]"; got != want {
			t.Errorf("ends %s, want %s", got, want)
		}
	})
}
