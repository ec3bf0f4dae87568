// SPDX-License-Identifier: Apache-2.0

package watchtest_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"

	"github.com/executorpods/watchsource/watchtest"
)

// up are the events of a pod until it runs.
var up = []string{"ADDED Pending", "MODIFIED Pending", "MODIFIED Pending ContainerCreating", "MODIFIED Running"}

func inBubble(t *testing.T, name string, test func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func kubeletPod(name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "busybox"}}},
	}
}

// record watches all pods until the returned function is called, which returns the events.
func record(t *testing.T, client kubernetes.Interface) (stop func() []string) {
	t.Helper()
	w, err := client.CoreV1().Pods("").Watch(t.Context(), metav1.ListOptions{})
	must(t, err)
	var events []string
	var reading sync.WaitGroup
	reading.Go(func() {
		for event := range w.ResultChan() {
			if pod, ok := event.Object.(*corev1.Pod); ok { // Stop may cause an ERROR event
				events = append(events, stateOf(event.Type, pod))
			}
		}
	})
	return func() []string {
		synctest.Wait()
		w.Stop()
		reading.Wait()
		return events
	}
}

// stateOf formats an event and the state of its pod.
func stateOf(event watch.EventType, pod *corev1.Pod) string {
	words := []string{string(event), string(pod.Status.Phase)}
	if pod.DeletionTimestamp != nil {
		words = append(words, "terminating")
	}
	if pod.Status.Reason != "" {
		words = append(words, pod.Status.Reason)
	}
	for _, container := range pod.Status.ContainerStatuses {
		switch state := container.State; {
		case state.Waiting != nil:
			words = append(words, state.Waiting.Reason)
		case state.Terminated != nil:
			words = append(words, state.Terminated.Reason, strconv.Itoa(int(state.Terminated.ExitCode)))
		}
	}
	return strings.Join(words, " ")
}

// phases lists the pods of a server with their phases.
func phases(srv *watchtest.Server) string {
	var all []string
	for _, pod := range srv.List("") {
		all = append(all, strings.TrimPrefix(stateOf("", &pod), " "))
	}
	return strings.Join(all, ", ")
}

func wantPhases(t *testing.T, srv *watchtest.Server, when, want string) {
	t.Helper()
	synctest.Wait()
	if got := phases(srv); got != want {
		t.Errorf("%s: the pods are %q, want %q", when, got, want)
	}
}

// The status of a pod that has run says of each container what a kubelet's says: the state,
// one id for one run, and its times.
func TestKubeletStatusOfContainers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := watchtest.NewServer()
		defer srv.StartKubelet(nil)()
		pod := kubeletPod("executor")
		pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: "sidecar"})
		pod.Annotations = watchtest.Lifecycle{RunFor: time.Minute, ExitCode: 3}.Annotations()
		srv.Create(pod)
		time.Sleep(30 * time.Second)
		runs := srv.List("")[0]
		time.Sleep(time.Minute)
		ended := srv.List("")[0]
		if runs.Spec.NodeName == "" || runs.Status.StartTime == nil || len(runs.Status.ContainerStatuses) != 2 || len(ended.Status.ContainerStatuses) != 2 {
			t.Fatalf("node %q, status %+v, then %+v, want a node, a start time and two containers", runs.Spec.NodeName, runs.Status, ended.Status)
		}
		for i, code := range []int32{3, 0} {
			before, after := runs.Status.ContainerStatuses[i], ended.Status.ContainerStatuses[i]
			if before.State.Running == nil || !before.Ready || before.ContainerID == "" || before.Name != pod.Spec.Containers[i].Name {
				t.Errorf("container %d runs with %+v, want it named, ready, and with an id", i, before)
			}
			end := after.State.Terminated
			if end == nil || after.Ready || end.ExitCode != code || end.ContainerID != before.ContainerID || after.ContainerID != before.ContainerID {
				t.Errorf("container %d has ended with %+v, want exit code %d and the id %q", i, after, code, before.ContainerID)
			} else if took := end.FinishedAt.Sub(end.StartedAt.Time); took != time.Minute {
				t.Errorf("container %d ran for %v, want 1m0s", i, took)
			}
		}
		if a, b := runs.Status.ContainerStatuses[0].ContainerID, runs.Status.ContainerStatuses[1].ContainerID; a == b {
			t.Errorf("both containers have the id %q", a)
		}
	})
}

// The kubelet is no client: faults do not reach it, and it is not in the records.
func TestKubeletIsNoClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := watchtest.NewServer()
		srv.Inject(watchtest.Fault{Do: watchtest.Refuse()})
		defer srv.StartKubelet(nil)()
		srv.Create(kubeletPod("executor"))
		srv.Strike(watchtest.Cut())
		time.Sleep(time.Second)
		wantPhases(t, srv, "with faults", "Running")
		if requests, streams := srv.Requests(), srv.Streams(); len(requests)+len(streams) > 0 {
			t.Errorf("%d requests and %d streams, want none", len(requests), len(streams))
		}
	})
}

// After stop nothing changes. Another kubelet continues where the pods are, and takes over
// those that are being deleted.
func TestKubeletStopAndStartAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := watchtest.NewServer()
		runs := kubeletPod("1")
		runs.Annotations = watchtest.Lifecycle{RunFor: time.Minute}.Annotations()
		srv.Create(runs)
		stop := srv.StartKubelet(nil) // with a pod that was there before
		time.Sleep(time.Second)
		srv.Create(kubeletPod("2"))
		time.Sleep(100 * time.Millisecond) // it is on a node
		srv.Create(kubeletPod("3"))
		deleted, err := srv.Client().CoreV1().Pods("default").Create(t.Context(), kubeletPod("4"), metav1.CreateOptions{})
		must(t, err)
		time.Sleep(39 * time.Millisecond)
		stop()
		stop() // does nothing
		srv.Update("default", deleted.Name, func(pod *corev1.Pod) { pod.Spec.NodeName = "node-1" })
		must(t, srv.Client().CoreV1().Pods("default").Delete(t.Context(), deleted.Name, metav1.DeleteOptions{}))
		version := srv.ResourceVersion()
		time.Sleep(time.Hour)
		if got := srv.ResourceVersion(); got != version {
			t.Errorf("version %s an hour after stop, want %s as before", got, version)
		}
		wantPhases(t, srv, "after stop", "Running, Pending ContainerCreating, Pending, Pending terminating")

		seen := record(t, srv.Client())
		stop = srv.StartKubelet(nil)
		defer stop()
		time.Sleep(10 * time.Second)
		wantPhases(t, srv, "after another start", "Running, Running, Running")
		time.Sleep(time.Minute)
		wantPhases(t, srv, "a minute later", "Succeeded Completed 0, Running, Running")
		want := []string{
			"ADDED Running", "ADDED Pending ContainerCreating", "ADDED Pending", "ADDED Pending terminating",
			"MODIFIED Pending", "MODIFIED Pending ContainerCreating", "DELETED Pending terminating",
			"MODIFIED Running", "MODIFIED Running", "MODIFIED Succeeded Completed 0",
		}
		if got := seen(); !slices.Equal(got, want) {
			t.Errorf("seen %q,\nwant %q", got, want)
		}
	})
}

func TestTwoKubelets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := watchtest.NewServer()
		defer srv.StartKubelet(nil)()
		defer wantPanic(t, "another one runs")
		srv.StartKubelet(nil)
	})
}

func wantPanic(t *testing.T, part string) {
	t.Helper()
	if got := fmt.Sprint(recover()); !strings.Contains(got, part) {
		t.Errorf("panic %q, want one that says %q", got, part)
	}
}

// The test itself changes pods beside the kubelet.
func TestKubeletAndTheTest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := watchtest.NewServer()
		defer srv.StartKubelet(func(*corev1.Pod) watchtest.Lifecycle { return watchtest.Lifecycle{RunFor: time.Minute} })()
		set := func(name string, phase corev1.PodPhase) {
			srv.Update("default", name, func(pod *corev1.Pod) { pod.Status.Phase = phase })
		}
		for _, name := range []string{"ended", "gone", "running", "same-name"} {
			srv.Create(kubeletPod(name))
		}
		set("ended", corev1.PodFailed)
		set("running", corev1.PodRunning)
		srv.Delete("default", "gone")
		time.Sleep(time.Second)
		srv.Delete("default", "same-name")
		srv.Create(kubeletPod("same-name"))
		srv.Update("default", "running", func(*corev1.Pod) {}) // does not make it run longer
		time.Sleep(59100 * time.Millisecond)
		wantPhases(t, srv, "after the end of the first runs", "Failed, Succeeded Completed 0, Running")
		time.Sleep(time.Minute)
		wantPhases(t, srv, "after the end of all", "Failed, Succeeded Completed 0, Succeeded Completed 0")
	})
}

// If several things are to happen to a pod at the same time, one of them does.
func TestKubeletEndsAPodOnce(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			srv := watchtest.NewServer()
			at := time.Second
			defer srv.StartKubelet(func(*corev1.Pod) watchtest.Lifecycle {
				return watchtest.Lifecycle{RunFor: at, EvictAfter: at, DeleteAfter: at}
			})()
			seen := record(t, srv.Client())
			_, err := srv.Client().CoreV1().Pods("default").Create(t.Context(), kubeletPod("executor"), metav1.CreateOptions{})
			must(t, err)
			time.Sleep(10 * time.Second)
			switch got := strings.Join(seen()[len(up):], ", "); got {
			case "MODIFIED Succeeded Completed 0", "MODIFIED Failed Evicted",
				"MODIFIED Running terminating, MODIFIED Failed terminating Error 143, DELETED Failed terminating Error 143":
			default:
				t.Errorf("the pod ended with %q, want one end", got)
			}
		})
	}
}

// Changes of a pod that is being deleted do not delay its end.
func TestKubeletTerminatesInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := watchtest.NewServer()
		defer srv.StartKubelet(nil)()
		pods := srv.Client().CoreV1().Pods("default")
		_, err := pods.Create(t.Context(), kubeletPod("executor"), metav1.CreateOptions{})
		must(t, err)
		time.Sleep(time.Second)
		must(t, pods.Delete(t.Context(), "executor", metav1.DeleteOptions{}))
		for range 2 {
			time.Sleep(140 * time.Millisecond)
			srv.Update("default", "executor", func(*corev1.Pod) {})
		}
		time.Sleep(30 * time.Millisecond)
		wantPhases(t, srv, "after 310ms", "")
	})
}

// A pod with a finalizer shuts down, and stays until the finalizer is gone.
func TestKubeletAndFinalizers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := watchtest.NewServer()
		defer srv.StartKubelet(nil)()
		pods := srv.Client().CoreV1().Pods("default")
		pod := kubeletPod("executor")
		pod.Finalizers = []string{"example.com/wait"}
		_, err := pods.Create(t.Context(), pod, metav1.CreateOptions{})
		must(t, err)
		time.Sleep(time.Second)
		must(t, pods.Delete(t.Context(), "executor", metav1.DeleteOptions{}))
		time.Sleep(time.Hour)
		wantPhases(t, srv, "with the finalizer", "Failed terminating Error 143")
		current, err := pods.Get(t.Context(), "executor", metav1.GetOptions{})
		must(t, err)
		current.Finalizers = nil
		_, err = pods.Update(t.Context(), current, metav1.UpdateOptions{})
		must(t, err)
		wantPhases(t, srv, "without it", "")
	})
}

// After a restore from a backup the kubelet goes on with the pods of the backup.
func TestKubeletAfterARestore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := watchtest.NewServer()
		defer srv.StartKubelet(nil)()
		srv.Create(kubeletPod("1"))
		restore := srv.Backup()
		srv.Create(kubeletPod("2"))
		time.Sleep(100 * time.Millisecond)
		restore()
		wantPhases(t, srv, "after the restore", "Pending")
		time.Sleep(time.Second)
		wantPhases(t, srv, "later", "Running")
	})
}

// The server does not validate pods, so a pod may have no container.
func TestKubeletAndAPodWithoutContainers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := watchtest.NewServer()
		defer srv.StartKubelet(func(*corev1.Pod) watchtest.Lifecycle {
			return watchtest.Lifecycle{PullFailsFor: time.Second, RunFor: time.Minute, ExitCode: 1}
		})()
		srv.Create(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "executor"}})
		time.Sleep(10 * time.Second)
		wantPhases(t, srv, "before the end", "Running")
		time.Sleep(time.Minute)
		wantPhases(t, srv, "after it", "Failed")
	})
}
