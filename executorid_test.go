// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/internal/test/podtest"
	"github.com/executorpods/watchsource/watchtest"
)

// The name of a pod as the id of its executor.

// With an empty label the name of a pod is the id, whatever labels the pod has, and none is a problem.
func TestPodNameIsTheID(t *testing.T) {
	eachPodWay(t, func(t *testing.T, way podWay) {
		log := &logLines{}
		store := watchsource.NewStore(watchsource.WithExecutorIDLabel(""), watchsource.WithLogger(log.logger(0)))
		seen := watchStore(t, store)
		dropped := watchsource.NewStore(watchsource.WithExecutorIDLabel(""), watchsource.WithLogger(log.logger(0)), watchsource.WithoutPods())
		for _, to := range []*watchsource.Store{store, dropped} {
			way.startAnother(t, to)
		}
		way.server.Create(pod("7"))
		way.server.Create(pod("EXECID"))
		way.server.Create(pod("no label", func(p *corev1.Pod) {
			p.Name = "exec-none"
			delete(p.Labels, watchsource.LabelExecutorID)
		}))
		synctest.Wait()
		way.server.Update(podtest.Namespace, "exec-7", label(watchsource.LabelExecutorID, "8"))
		way.server.Update(podtest.Namespace, "exec-7", phase(corev1.PodRunning))
		synctest.Wait()
		for _, to := range []*watchsource.Store{store, dropped} {
			for _, name := range []string{"exec-7", "exec-EXECID", "exec-none"} {
				if e, ok := to.Snapshot().ByID(name); !ok || e.Name != name || e.ID != name || e.Problem != "" {
					t.Errorf("ByID(%s) = %v, %s with the id %q, problem %q; want the pod without a problem", name, ok, e.Name, e.ID, e.Problem)
				}
			}
			for _, id := range []string{"7", "8", "", "exec"} {
				if e, ok := to.Snapshot().ByID(id); ok {
					t.Errorf("ByID(%q) found %s, want none", id, e.Name)
				}
			}
		}
		way.server.Delete(podtest.Namespace, "exec-7")
		synctest.Wait()
		if _, ok := store.Snapshot().ByID("exec-7"); ok {
			t.Error("ByID finds a pod that was deleted, want none")
		}
		seen.wait()
		if e := seen.in(t, "exec-7", watchsource.Deleted); e.ID != "exec-7" {
			t.Errorf("the deletion has the id %q, want exec-7", e.ID)
		}
		if lines := log.matching("not fully understood"); len(lines) != 0 {
			t.Errorf("log lines %q, want none", lines)
		}
	})
}

// If several namespaces have a pod of one name, ByID returns the pod that was created last, as for
// any id.
func TestPodNameIsTheIDInSeveralNamespaces(t *testing.T) {
	store := watchsource.NewStore(watchsource.WithExecutorIDLabel(""))
	of := func(namespace string, created int64) *corev1.Pod {
		p := pod("1", uid("u-"+namespace), version(fmt.Sprint(created)))
		p.Namespace, p.CreationTimestamp = namespace, metav1.NewTime(time.Unix(created, 0))
		return p
	}
	store.ReplaceSnapshot([]*corev1.Pod{of("a", 10), of("b", 30), of("c", 20)})
	if e, _ := store.Snapshot().ByID("exec-1"); e.Namespace != "b" {
		t.Errorf("ByID(exec-1) is in the namespace %q, want b with the newest pod", e.Namespace)
	}
	store.DeletePod(of("b", 30))
	if e, _ := store.Snapshot().ByID("exec-1"); e.Namespace != "c" {
		t.Errorf("ByID(exec-1) is in the namespace %q without the newest pod, want c", e.Namespace)
	}
}

// The id needs no memory beside the name: when a pod is new, changed, and listed again.
func TestPodNameAsIDSharesItsMemory(t *testing.T) {
	for _, options := range [][]watchsource.StoreOption{nil, {watchsource.WithoutPods()}} {
		store := watchsource.NewStore(append(options, watchsource.WithExecutorIDLabel(""))...)
		watcher := watchsource.NewWatcher(store, selectorOf(t, ""))
		want := func(when string) {
			t.Helper()
			e, _ := store.Snapshot().Get("exec-1")
			if e.ID != "exec-1" || unsafe.StringData(e.ID) != unsafe.StringData(e.Name) {
				t.Errorf("%s: the id %q is in other memory than the name, want the same", when, e.ID)
			}
		}
		state := func(v string) *corev1.Pod {
			return pod("1", uid("u"), version(v), func(p *corev1.Pod) { p.Status.PodIP = "10.0.0." + v })
		}
		must(t, watcher.Receive(modifiedObject(inWireForm(t, state("1")))))
		want("new")
		must(t, watcher.Receive(modifiedObject(inWireForm(t, state("2")))))
		want("changed")
		store.ReplaceSnapshot([]*corev1.Pod{state("3")})
		want("listed")
		store.UpdatePod(state("4"))
		want("changed by the program")
	}
}

// A store divided by owners finds executor containers and ids by the same options.
func TestStoreByHasTheOptionsOfAStore(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		server := watchtest.NewServer()
		owner := func(p metav1.Object) (string, bool) { return p.GetLabels()["job"], true }
		named := watchsource.NewStoreBy(owner, watchsource.WithExecutorIDLabel(""), watchsource.WithExecutorContainer("main", "worker"))
		chosen := watchsource.NewStoreBy(owner, watchsource.WithExecutorIDLabel(""), watchsource.WithExecutorContainerFunc(lastOf))
		for _, store := range []watchsource.SnapshotsStore{named, chosen} {
			source := newSource(store, server.Client())
			start(t, source, podtest.App)
			defer source.Stop()
		}
		server.Create(twoContainers(label("job", "a")))
		synctest.Wait()
		for want, store := range map[int32]*watchsource.StoreBy[string]{3: named, 4: chosen} {
			if e, _ := store.Snapshot("a").ByID("exec-1"); e.ExitCode != want || e.Problem != "" {
				t.Errorf("exit code %d, problem %q; want %d", e.ExitCode, e.Problem, want)
			}
		}
	})
}
