// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/internal/test/podtest"
	"github.com/executorpods/watchsource/watchtest"
)

// Which container of a pod is the executor.

func byNames(names ...string) []watchsource.StoreOption {
	return []watchsource.StoreOption{watchsource.WithExecutorContainer(names...)}
}

func byFunc(name func(names []string) string) []watchsource.StoreOption {
	return []watchsource.StoreOption{watchsource.WithExecutorContainerFunc(name)}
}

func firstOf(names []string) string { return names[0] }
func lastOf(names []string) string  { return names[len(names)-1] }

func always(name string) func([]string) string { return func([]string) string { return name } }

// twoContainers has a statuses order other than that of its spec, as the kubelet sorts them by name.
func twoContainers(options ...func(*corev1.Pod)) *corev1.Pod {
	p := pod("1", append([]func(*corev1.Pod){phase(corev1.PodRunning),
		container("worker", ended(3, "Error")), container("agent", ended(4, "Error"))}, options...)...)
	slices.Reverse(p.Status.ContainerStatuses)
	return p
}

// executorContainers has pods with the exit code of their executor container, or the problem.
var executorContainers = []struct {
	name     string
	options  []watchsource.StoreOption
	pod      *corev1.Pod
	exitCode int32
	problem  string
}{
	{name: "the first name of the option", options: byNames("agent", "worker"), pod: twoContainers(), exitCode: 4},
	{name: "the same names in the other order", options: byNames("worker", "agent"), pod: twoContainers(), exitCode: 3},
	{name: "the pod lacks the first names", options: byNames("driver", "main", "worker"), pod: twoContainers(), exitCode: 3},
	{name: "a name twice, and empty ones", options: byNames("", "worker", "", "worker"), pod: twoContainers(), exitCode: 3},
	{name: "the first name has no status yet", options: byNames("main", "worker"), exitCode: unknownCode,
		pod: twoContainers(func(p *corev1.Pod) { p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "main"}) })},
	{name: "a native sidecar has the first name", options: byNames("proxy", "worker"), exitCode: 5,
		pod: twoContainers(initContainer("proxy", "Always", ended(5, "Error")))},
	{name: "a native sidecar without a status has the first name", options: byNames("proxy", "worker"), exitCode: unknownCode,
		pod: twoContainers(initContainer("proxy", "Always", running()), func(p *corev1.Pod) { p.Status.InitContainerStatuses = nil })},
	{name: "an init container with a policy and without a status has the first name", options: byNames("fetch", "worker"), exitCode: unknownCode,
		pod: twoContainers(initContainer("fetch", "OnFailure", running()), func(p *corev1.Pod) { p.Status.InitContainerStatuses = nil })},
	{name: "an init container without a status has the first name", options: byNames("fetch", "worker"), exitCode: 3,
		pod: twoContainers(initContainer("fetch", "", running()), func(p *corev1.Pod) { p.Status.InitContainerStatuses = nil })},
	{name: "an ephemeral container has the first name", options: byNames("debug", "worker"), exitCode: 3,
		pod: twoContainers(ephemeralContainer("debug", ended(5, "Error")))},
	{name: "the only container has none of the names", options: byNames("main", "driver"), exitCode: 3,
		pod: pod("1", phase(corev1.PodRunning), container("worker", ended(3, "Error")))},
	{name: "several containers have none of two names", options: byNames("main", "driver"), pod: twoContainers(), exitCode: unknownCode,
		problem: "no container is named main or driver; set WithExecutorContainer"},
	{name: "several containers have none of three names", options: byNames("a", "b", "c"), pod: twoContainers(), exitCode: unknownCode,
		problem: "no container is named a, b or c; set WithExecutorContainer"},
	{name: "no names and the only container", options: byNames(), exitCode: 3,
		pod: pod("1", phase(corev1.PodRunning), container("worker", ended(3, "Error")))},
	{name: "no names and several containers", options: byNames(), pod: twoContainers(), exitCode: unknownCode,
		problem: "the pod has several containers, and WithExecutorContainer has no name; name the executor's"},
	{name: "an empty name and several containers", options: byNames(""), pod: twoContainers(), exitCode: unknownCode,
		problem: "the pod has several containers, and WithExecutorContainer has no name; name the executor's"},
	{name: "the option twice", options: append(byNames("agent"), byNames("worker")...), pod: twoContainers(), exitCode: 3},
	{name: "a function and then names", options: append(byFunc(firstOf), byNames("agent")...), pod: twoContainers(), exitCode: 4},
	{name: "names and then a function", options: append(byNames("agent"), byFunc(firstOf)...), pod: twoContainers(), exitCode: 3},

	{name: "the first of the spec", options: byFunc(firstOf), pod: twoContainers(), exitCode: 3},
	{name: "the last of the spec", options: byFunc(lastOf), pod: twoContainers(), exitCode: 4},
	{name: "the only one", options: byFunc(lastOf), exitCode: 3,
		pod: pod("1", phase(corev1.PodRunning), container("worker", ended(3, "Error")))},
	{name: "a native sidecar changes no position", options: byFunc(firstOf), exitCode: 3,
		pod: twoContainers(initContainer("proxy", "Always", ended(5, "Error")))},
	{name: "a native sidecar is not the last", options: byFunc(lastOf), exitCode: 4,
		pod: twoContainers(initContainer("proxy", "Always", ended(5, "Error")))},
	{name: "the function returns a native sidecar", options: byFunc(always("proxy")), exitCode: 5,
		pod: twoContainers(initContainer("proxy", "Always", ended(5, "Error")))},
	{name: "the function returns a container without a status", options: byFunc(lastOf), exitCode: unknownCode,
		pod: twoContainers(func(p *corev1.Pod) { p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "main"}) })},
	{name: "no container has a status", options: byFunc(always("")), exitCode: unknownCode,
		pod: twoContainers(func(p *corev1.Pod) { p.Status.ContainerStatuses = nil })},
	{name: "the function returns no name", options: byFunc(always("")), pod: twoContainers(), exitCode: unknownCode,
		problem: `the function of WithExecutorContainerFunc has returned no name for ["worker" "agent"]; let it return one of them`},
	{name: "the function returns another name", options: byFunc(always("main")), pod: twoContainers(), exitCode: unknownCode,
		problem: `no container is named main, which the function of WithExecutorContainerFunc has returned for ["worker" "agent"]; ` +
			"let it return the name of a container that the pod has"},
	{name: "the function returns another name for the only container", options: byFunc(always("main")), exitCode: unknownCode,
		pod: pod("1", phase(corev1.PodRunning), container("worker", ended(3, "Error"))),
		problem: `no container is named main, which the function of WithExecutorContainerFunc has returned for ["worker"]; ` +
			"let it return the name of a container that the pod has"},
	{name: "the function panics", options: byFunc(func(names []string) string { return names[2] }), pod: twoContainers(), exitCode: unknownCode,
		problem: `the function of WithExecutorContainerFunc has panicked for ["worker" "agent"]: runtime error: index out of range [2] with length 2; ` +
			"let it return a name for every pod"},
	{name: "no function", options: byFunc(nil), pod: twoContainers(), exitCode: unknownCode,
		problem: "the function of WithExecutorContainerFunc is nil; pass a function, or use WithExecutorContainer"},
}

// The executor container is the same in whatever form the pod comes.
func TestExecutorContainer(t *testing.T) {
	for _, test := range executorContainers {
		t.Run(test.name, func(t *testing.T) {
			for form, store := range formsOf(t, test.pod, test.options...) {
				if e, _ := store.Snapshot().Get("exec-1"); e.ExitCode != test.exitCode || e.Problem != test.problem {
					t.Errorf("%s: exit code %d, problem %q; want %d, %q", form, e.ExitCode, e.Problem, test.exitCode, test.problem)
				}
			}
		})
	}
}

// A pod whose spec is missing has the names of its containers in its statuses only, where they are in
// another order. The function is not called then.
func TestExecutorContainerFuncWithoutASpec(t *testing.T) {
	p := twoContainers()
	p.Spec = corev1.PodSpec{}
	store := watchsource.NewStore(watchsource.WithExecutorContainerFunc(func(names []string) string {
		t.Errorf("the function is called with %q, want no call", names)
		return ""
	}))
	store.UpdatePod(p)
	const want = "the pod has 2 container statuses, but its spec has no containers that the function of " +
		"WithExecutorContainerFunc could choose from; pass the pod with its spec"
	if e, _ := store.Snapshot().Get("exec-1"); e.Problem != want || e.State != watchsource.Running {
		t.Errorf("%v, problem %q; want Running, %q", e.State, e.Problem, want)
	}
}

// The slices that an option received may change afterwards, and so may those that the function receives.
func TestExecutorContainerKeepsItsNames(t *testing.T) {
	names := []string{"worker"}
	option := watchsource.WithExecutorContainer(names...)
	names[0] = "agent"
	for _, store := range []*watchsource.Store{watchsource.NewStore(option), watchsource.NewStore(option)} {
		store.UpdatePod(twoContainers())
		if e, _ := store.Snapshot().Get("exec-1"); e.ExitCode != 3 {
			t.Errorf("exit code %d, want 3 of the container that the option was made with", e.ExitCode)
		}
	}
	p := twoContainers()
	store := watchsource.NewStore(watchsource.WithExecutorContainerFunc(func(names []string) string {
		defer slices.Reverse(names)
		return names[0]
	}))
	for i := range 3 {
		p.ResourceVersion = fmt.Sprint(i + 1)
		store.UpdatePod(p)
		if e, _ := store.Snapshot().Get("exec-1"); e.ExitCode != 3 || e.Problem != "" {
			t.Errorf("exit code %d, problem %q; want 3 of the first container", e.ExitCode, e.Problem)
		}
	}
	slices.Reverse(p.Spec.Containers)
	p.UID = "another"
	store.UpdatePod(p)
	if e, _ := store.Snapshot().Get("exec-1"); e.ExitCode != 4 {
		t.Errorf("exit code %d of a pod with the containers in the other order, want 4 of its first", e.ExitCode)
	}
}

// ofApp selects all pods of an application.
func ofApp(appID string) labels.Selector {
	return labels.SelectorFromSet(labels.Set{watchsource.LabelApp: appID})
}

const driverContainer = "spark-kubernetes-driver"

// driverOrExecutor are the options for a driver and its executors in one view.
var driverOrExecutor = map[string]watchsource.StoreOption{
	"names": watchsource.WithExecutorContainer(driverContainer, executorContainer),
	"function": watchsource.WithExecutorContainerFunc(func(names []string) string {
		if slices.Contains(names, driverContainer) {
			return driverContainer
		}
		return executorContainer
	}),
}

// runDriverAndExecutors creates a driver and two executors, each beside a sidecar that ends in another way. Then all end.
func runDriverAndExecutors(create func(*corev1.Pod), update func(name string, change func(*corev1.Pod))) {
	for name, main := range map[string]string{"driver": driverContainer, "exec-1": executorContainer, "exec-2": executorContainer} {
		p := pod(name, phase(corev1.PodPending))
		p.Name, p.UID = name, types.UID("uid-"+name)
		p.Spec.Containers = []corev1.Container{{Name: "a-sidecar", Image: "sidecar"}, {Name: main, Image: "spark"}}
		create(p)
	}
	for i, name := range []string{"driver", "exec-1", "exec-2"} {
		update(name, func(p *corev1.Pod) {
			p.Status.Phase = corev1.PodRunning
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "a-sidecar", State: running()}, {Name: p.Spec.Containers[1].Name, State: running()}}
		})
		update(name, func(p *corev1.Pod) {
			p.Status.ContainerStatuses[0].State = ended(0, "Completed")
			p.Status.ContainerStatuses[1].State = ended(int32(10+i), "Error")
		})
	}
}

// startAnother is start with a store of the user for itself if the way goes through Tee.
func (w podWay) startAnother(t *testing.T, store *watchsource.Store, options ...watchsource.Option) {
	t.Helper()
	if w.user != nil {
		w.user = new(podRecorder)
	}
	w.start(t, store, options...)
}

// A driver and its executors are in one view, each with its own container, over every way of a pod
// into a store.
func TestDriverAndExecutorsInOneView(t *testing.T) {
	for name, option := range driverOrExecutor {
		t.Run(name, func(t *testing.T) {
			eachPodWay(t, func(t *testing.T, way podWay) {
				var stores []*watchsource.Store
				for _, more := range []watchsource.Option{nil, watchsource.WithTrimmedPods()} {
					for _, pods := range []watchsource.StoreOption{nil, watchsource.WithoutPods()} {
						store := watchsource.NewStore(option, pods)
						stores = append(stores, store)
						way.startAnother(t, store, more, watchsource.WithSelector(ofApp))
					}
				}
				runDriverAndExecutors(func(p *corev1.Pod) { way.server.Create(p) },
					func(name string, change func(*corev1.Pod)) { way.server.Update(podtest.Namespace, name, change) })
				synctest.Wait()
				for _, store := range stores {
					wantOwnExitCodes(t, store)
				}
			})
		})
	}
}

// The same with client-go's fake clientset.
func TestDriverAndExecutorsOfAFake(t *testing.T) {
	for name, option := range driverOrExecutor {
		t.Run(name, func(t *testing.T) {
			eachFake(t, func(t *testing.T, newSource modeltest.NewSource, form func(*fake.Clientset) kubernetes.Interface) {
				client, store := fake.NewClientset(), watchsource.NewStore(option)
				source := newSource(store, form(client), watchsource.WithSelector(ofApp))
				start(t, source, podtest.App)
				defer source.Stop()
				pods := map[string]*corev1.Pod{}
				runDriverAndExecutors(func(p *corev1.Pod) {
					pods[p.Name] = p
					create(t, client, p)
				}, func(name string, change func(*corev1.Pod)) {
					change(pods[name])
					modify(t, client, pods[name])
				})
				synctest.Wait()
				wantOwnExitCodes(t, store)
			})
		})
	}
}

func wantOwnExitCodes(t *testing.T, store *watchsource.Store) {
	t.Helper()
	for i, name := range []string{"driver", "exec-1", "exec-2"} {
		e, ok := store.Snapshot().Get(name)
		if want := int32(10 + i); !ok || e.State != watchsource.Failed || e.ExitCode != want {
			t.Errorf("%s: %v, %v, exit code %d, problem %q; want Failed, %d", name, ok, e.State, e.ExitCode, e.Problem, want)
		}
	}
}

// callCounter counts the calls of a function for the executor container.
type callCounter struct {
	calls []string
}

func (c *callCounter) first(names []string) string {
	c.calls = append(c.calls, fmt.Sprint(names))
	return names[0]
}

// The function is called once for all pods with the same containers, however often they change and
// are listed, also in a store that keeps no pods.
func TestExecutorContainerFuncIsCalledOnce(t *testing.T) {
	eachPodWay(t, func(t *testing.T, way podWay) {
		var kept, dropped callCounter
		way.startAnother(t, watchsource.NewStore(watchsource.WithExecutorContainerFunc(kept.first)))
		way.startAnother(t, watchsource.NewStore(watchsource.WithExecutorContainerFunc(dropped.first), watchsource.WithoutPods()))
		for i := range 20 {
			p := pod(fmt.Sprint(i), phase(corev1.PodRunning), container("worker", running()))
			if i%2 > 0 {
				container("agent", running())(p)
			}
			way.server.Create(p)
		}
		for round := range 3 {
			for i := range 20 {
				way.server.Update(podtest.Namespace, fmt.Sprint("exec-", i), func(p *corev1.Pod) {
					p.Spec.NodeName, p.Status.PodIP = fmt.Sprint("node-", round), fmt.Sprint("10.0.0.", round)
				})
			}
			way.server.Strike(watchtest.Reset())
			way.server.Compact()
		}
		synctest.Wait()
		for _, counted := range []callCounter{kept, dropped} {
			slices.Sort(counted.calls)
			if want := []string{"[worker agent]", "[worker]"}; !slices.Equal(counted.calls, want) {
				t.Errorf("the function was called for %q, want %q", counted.calls, want)
			}
		}
	})
}

// An event costs no more memory with a function than with a name: the names are not decoded again.
func TestExecutorContainerFuncAllocatesNothing(t *testing.T) {
	skipUnderRace(t)
	p := fullPod(1)
	allocations := func(option watchsource.StoreOption) float64 {
		store := watchsource.NewStore(option)
		watcher := watchsource.NewWatcher(store, labels.Everything())
		object := inWireForm(t, p)
		return testing.AllocsPerRun(100, func() { must(t, watcher.Receive(modifiedObject(object))) })
	}
	name, function := allocations(watchsource.WithExecutorContainer("main")), allocations(watchsource.WithExecutorContainerFunc(firstOf))
	if function > name {
		t.Errorf("%v allocations for an event with a function, want at most the %v with a name", function, name)
	}
}

// G11: a function that fails for one kind of pods affects no other pod, and the log has one line for
// each pod that it fails for.
func TestGuarantee11ExecutorContainerFunc(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		server, log := watchtest.NewServer(), &logLines{}
		store := watchsource.NewStore(watchsource.WithLogger(log.logger(0)), watchsource.WithExecutorContainerFunc(func(names []string) string {
			switch names[0] {
			case "panics":
				panic("no such kind")
			case "empty":
				return ""
			case "wrong":
				return "main"
			default:
				return names[0]
			}
		}))
		source := newSource(store, server.Client())
		start(t, source, podtest.App)
		defer source.Stop()
		bad := []string{"panics", "empty", "wrong"}
		for i, name := range append(bad, "worker") {
			server.Create(pod(fmt.Sprint(i), phase(corev1.PodRunning), container(name, running()), container("sidecar", running())))
		}
		for i := range 4 {
			server.Update(podtest.Namespace, fmt.Sprint("exec-", i), func(p *corev1.Pod) { p.Status.ContainerStatuses[0].State = ended(7, "Error") })
			server.Update(podtest.Namespace, fmt.Sprint("exec-", i), func(p *corev1.Pod) { p.Status.PodIP = "10.0.0.1" })
		}
		synctest.Wait()
		for i := range bad {
			e, ok := store.Snapshot().Get(fmt.Sprint("exec-", i))
			if !ok || e.Problem == "" || e.ExitCode != unknownCode || e.PodIP != "10.0.0.1" {
				t.Errorf("%s: %v, %+v; want the newest state without an exit code and with a problem", bad[i], ok, e)
			}
		}
		if e, _ := store.Snapshot().Get("exec-3"); e.Problem != "" || e.ExitCode != 7 {
			t.Errorf("a good pod has exit code %d, problem %q; want 7 and none", e.ExitCode, e.Problem)
		}
		if lines := log.matching("Executor pod not fully understood"); len(lines) != len(bad) {
			t.Errorf("%d log lines, want %d, one for each bad pod:\n%q", len(lines), len(bad), lines)
		}
		if got := source.Status(); got.Phase != watchsource.Watching || got.Err != nil {
			t.Errorf("status %v, %v; want Watching without an error", got.Phase, got.Err)
		}
	})
}
