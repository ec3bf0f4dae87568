// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/internal/test/podtest"
	"github.com/executorpods/watchsource/watchtest"
)

// Pod returns the server's pod at the executor's version, without managedFields, whatever shape
// the pod has and however it came: listed, added, modified, deleted, gone during an interruption.
// This is true for executors in snapshots and in batches, for an earlier end, and after Stop.
func TestPodIsThatOfTheServer(t *testing.T) {
	eachPodWay(t, func(t *testing.T, way podWay) {
		pods, shapes := versionsOf(way.server), way.shapes()
		names := slices.Sorted(maps.Keys(shapes))
		for _, name := range names {
			pods.create(shapes[name])
		}
		store := watchsource.NewStore(watchsource.WithLogger(logr.Discard()))
		seen := watchStore(t, store)
		source := way.start(t, store)
		seen.wait()
		for _, name := range names {
			pods.create(executorOf(shapes[name].DeepCopy(), "added-"+name))
		}
		seen.wait()
		for i, name := range names { // each becomes the next
			pods.update(name, become(shapes[names[(i+1)%len(names)]]))
		}
		seen.wait()
		for _, name := range names {
			pods.delete("added-" + name)
		}
		seen.wait()
		earlierEnd(pods, seen)
		goneDuringAnInterruption(t, pods, seen)

		for _, name := range names {
			seen.in(t, "added-"+name, watchsource.Deleted)
		}
		missed, now := seen.in(t, "restarts", watchsource.Failed), seen.in(t, "restarts", watchsource.Running)
		if missed.ResourceVersion == now.ResourceVersion {
			t.Error("the end of restarts came with its first version, want it with the second")
		}
		source.Stop()
		seen.wait()
		if len(seen.all) < 4*len(names) {
			t.Fatalf("%d executors were seen, want at least four for each of %d names", len(seen.all), len(names))
		}
		for _, e := range seen.all {
			pods.check(t, e)
		}
	})
}

// earlierEnd runs a container that is started again, so that only its last state shows its end.
func earlierEnd(pods *podVersions, seen *seenExecutors) {
	p := podtest.Executor(7, 1, true)
	p.Spec.RestartPolicy = corev1.RestartPolicyAlways
	pods.create(executorOf(p, "restarts"))
	seen.wait()
	pods.update("restarts", func(p *corev1.Pod) {
		status := &p.Status.ContainerStatuses[0]
		last := ended(3, "Error")
		last.Terminated.ContainerID, status.ContainerID = status.ContainerID, "containerd://second"
		status.LastTerminationState, status.RestartCount = last, 1
		status.State.Running.StartedAt = metav1.NewTime(time.Unix(1_900_000_000, 0))
	})
	seen.wait()
}

// goneDuringAnInterruption deletes a pod while nothing is watched. A list shows that it is gone.
func goneDuringAnInterruption(t *testing.T, pods *podVersions, seen *seenExecutors) {
	pods.create(executorOf(podtest.Executor(8, 1, true), "unseen"))
	seen.wait()
	lift := pods.server.Inject(watchtest.Fault{Do: watchtest.Refuse()})
	pods.server.Strike(watchtest.Reset())
	pods.delete("unseen")
	pods.server.Advance(100)
	pods.server.Compact()
	time.Sleep(time.Minute)
	lift()
	time.Sleep(5 * time.Minute)
	seen.wait()
	seen.in(t, "unseen", watchsource.Deleted)
}

// The same is true of client-go's fake clientset, in each form in which a test passes it.
func TestPodIsThatOfTheFake(t *testing.T) {
	eachFake(t, func(t *testing.T, newSource modeltest.NewSource, form func(*fake.Clientset) kubernetes.Interface) {
		client := fake.NewClientset(executorOf(fullPod(1), "listed"))
		store := watchsource.NewStore()
		seen := watchStore(t, store)
		source := newSource(store, form(client))
		start(t, source, podtest.App)
		defer source.Stop()
		create(t, client, executorOf(fullPod(2), "added"))
		seen.wait()
		listed, added := podOfFake(t, client, "listed"), podOfFake(t, client, "added")
		for want, e := range map[*corev1.Pod]watchsource.Executor{
			listed: seen.in(t, "listed", watchsource.Running),
			added:  seen.in(t, "added", watchsource.Running),
		} {
			wantPod(t, keptPod(t, e), want, true)
		}
		added.Status.Phase = corev1.PodSucceeded
		added.Status.ContainerStatuses[0].State = ended(0, "Completed")
		modify(t, client, added)
		seen.wait()
		wantPod(t, keptPod(t, seen.in(t, "added", watchsource.Succeeded)), podOfFake(t, client, "added"), true)
		remove(t, client, listed)
		seen.wait()
		wantPod(t, keptPod(t, seen.in(t, "listed", watchsource.Deleted)), listed, true)
		wantPod(t, keptPod(t, seen.in(t, "listed", watchsource.Running)), listed, true)
	})
}

func podOfFake(t *testing.T, client kubernetes.Interface, name string) *corev1.Pod {
	t.Helper()
	p, err := client.CoreV1().Pods(podtest.Namespace).Get(t.Context(), name, metav1.GetOptions{})
	must(t, err)
	return p
}

// The pods that the reactors of a fake return may have any shape.
func TestPodIsThatOfAReactor(t *testing.T) {
	eachFake(t, func(t *testing.T, newSource modeltest.NewSource, form func(*fake.Clientset) kubernetes.Interface) {
		const pods = 8
		listed, events := new(corev1.PodList), watch.NewRaceFreeFake()
		for seed := range uint64(pods) {
			listed.Items = append(listed.Items, *executorOf(podtest.Filled(seed), fmt.Sprint("listed-", seed)))
		}
		client := fake.NewClientset()
		client.PrependReactor("list", "pods", func(k8stesting.Action) (bool, runtime.Object, error) { return true, listed.DeepCopy(), nil })
		client.PrependWatchReactor("pods", func(k8stesting.Action) (bool, watch.Interface, error) { return true, events, nil })
		store := watchsource.NewStore(watchsource.WithLogger(logr.Discard()))
		seen := watchStore(t, store)
		source := newSource(store, form(client))
		start(t, source, podtest.App)
		defer source.Stop()
		seen.wait()
		for seed := range uint64(pods) {
			events.Add(executorOf(podtest.Filled(seed), fmt.Sprint("added-", seed)))
			events.Delete(executorOf(podtest.Filled(seed), fmt.Sprint("listed-", seed)))
		}
		seen.wait()
		if len(seen.all) < 3*pods {
			t.Fatalf("%d executors were seen, want %d that were listed, added and deleted", len(seen.all), pods)
		}
		for _, e := range seen.all {
			var seed uint64
			_, err := fmt.Sscanf(e.Name[strings.LastIndex(e.Name, "-"):], "-%d", &seed)
			must(t, err)
			wantPod(t, keptPod(t, e), executorOf(podtest.Filled(seed), e.Name), true)
		}
	})
}

// A store without pods has no pod, no label and no annotation of any executor. The rest of the
// executor is the same.
func TestWithoutPodsThereIsNoPod(t *testing.T) {
	eachPodWay(t, func(t *testing.T, way podWay) {
		pods := versionsOf(way.server)
		p := podtest.Executor(1, 1, true)
		pods.create(executorOf(p, "1"))
		store := watchsource.NewStore(watchsource.WithoutPods())
		seen := watchStore(t, store)
		way.start(t, store)
		pods.create(executorOf(p.DeepCopy(), "2"))
		seen.wait()
		pods.update("1", phase(corev1.PodFailed))
		seen.wait()
		pods.delete("1")
		seen.wait()
		seen.in(t, "1", watchsource.Deleted)
		for _, e := range append(seen.all, watchsource.Executor{}) {
			if hasPod(t, e) {
				t.Errorf("%s, %v, has a pod, want none", e.Name, e.State)
			}
			for key := range p.Labels {
				if value, ok := e.Label(key); ok || value != "" {
					t.Errorf("%s: Label(%q) = %q, %v, want \"\", false", e.Name, key, value, ok)
				}
			}
			for key := range p.Annotations {
				if value, ok := e.Annotation(key); ok || value != "" {
					t.Errorf("%s: Annotation(%q) = %q, %v, want \"\", false", e.Name, key, value, ok)
				}
			}
		}
		if _, err := (watchsource.Executor{}).Pod(); !errors.Is(err, watchsource.ErrNoPod) {
			t.Errorf("Pod() of the zero Executor = %v, want ErrNoPod", err)
		}
	})
}

// Pod returns the pod without managedFields. This holds too for a pod with managedFields that a
// program passes to the store, and the program's pod keeps them.
func TestPodLacksManagedFields(t *testing.T) {
	for name, feed := range map[string]func(store *watchsource.Store, p *corev1.Pod){
		"UpdatePod":       (*watchsource.Store).UpdatePod,
		"ReplaceSnapshot": func(s *watchsource.Store, p *corev1.Pod) { s.ReplaceSnapshot([]*corev1.Pod{p}) },
		"DeletePod": func(s *watchsource.Store, p *corev1.Pod) {
			s.UpdatePod(pod("1"))
			s.DeletePod(p)
		},
		"Receive": func(s *watchsource.Store, p *corev1.Pod) {
			must(t, watchsource.NewWatcher(s, selectorOf(t, "")).Receive(added(p)))
		},
		"Replace": func(s *watchsource.Store, p *corev1.Pod) {
			watchsource.NewWatcher(s, selectorOf(t, "")).Replace([]*corev1.Pod{p}, "1")
		},
		"Tee": func(s *watchsource.Store, p *corev1.Pod) {
			watchsource.Tee(&recordingStore{}, s).UpdatePod(p)
		},
	} {
		inBubble(t, name, func(t *testing.T) {
			store := watchsource.NewStore()
			seen := watchStore(t, store)
			p := pod("1")
			p.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubelet"}}
			feed(store, p)
			seen.wait()
			store.ObserveStop()
			if len(seen.all) == 0 {
				t.Fatal("no executor was seen, want one")
			}
			for _, e := range seen.all {
				wantPod(t, keptPod(t, e), pod("1"), true)
			}
			if len(p.ManagedFields) != 1 {
				t.Errorf("the program's pod has %d managedFields, want the one that it had", len(p.ManagedFields))
			}
		})
	}
}

// Each store on a SharedWatch has the pods in its own form, whichever of them starts first and
// whether they have the same application.
func TestFormsOnASharedWatch(t *testing.T) {
	for clientName, client := range podClients {
		for form, options := range map[string][]watchsource.Option{"whole": nil, "trimmed": {watchsource.WithTrimmedPods()}} {
			for first := range 3 {
				inBubble(t, fmt.Sprint(clientName, "/", form, "/", first), func(t *testing.T) {
					server := watchtest.NewServer()
					pods := versionsOf(server)
					pods.create(alike(0))
					shared := watchsource.NewSharedWatch(client(t, server), options...)
					store, bare, user := watchsource.NewStore(), watchsource.NewStore(watchsource.WithoutPods()), new(podRecorder)
					stores := []watchsource.SnapshotsStore{store, bare, user}
					seen := watchStore(t, store)
					for i := range stores {
						source := shared.Source(stores[(first+i)%len(stores)])
						start(t, source, podtest.App)
						defer source.Stop()
						pods.create(alike(i + 1))
						seen.wait()
					}
					pods.update("alike-1", phase(corev1.PodFailed))
					pods.delete("alike-0")
					seen.wait()
					seen.in(t, "alike-0", watchsource.Deleted)
					for _, e := range seen.all {
						pods.check(t, e)
					}
					for _, p := range user.all {
						wantPod(t, p, pods.pods[versionKey(p.Name, p.ResourceVersion)], options == nil)
					}
					requireSameExecutors(t, bare.Snapshot(), store.Snapshot())
					for e := range bare.Snapshot().All() {
						if hasPod(t, e) {
							t.Errorf("%s has a pod in a store without pods, want none", e.Name)
						}
					}
					if len(user.all) < 5 {
						t.Errorf("the user's store received %d pods, want at least 5", len(user.all))
					}
				})
			}
		}
	}
}

// A selector of the user gets a Set of labels, as with pods that are decoded, and may keep it.
func TestSelectorOfTheUser(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		server := watchtest.NewServer()
		var kept []labels.Labels
		store := watchsource.NewStore()
		source := newSource(store, server.Client(), watchsource.WithSelector(func(appID string) labels.Selector {
			return keepingSelector{selectorOf(t, watchsource.LabelApp+"="+appID), &kept}
		}))
		for i := range 3 {
			server.Create(podtest.Pod(fmt.Sprint(i), podtest.Runnable))
		}
		start(t, source, podtest.App)
		defer source.Stop()
		synctest.Wait()
		if n := store.Snapshot().Len(); n != 3 {
			t.Errorf("%d executors, want 3", n)
		}
		ids := map[string]bool{}
		for _, set := range kept {
			ids[set.Get(watchsource.LabelExecutorID)] = true
		}
		if len(ids) != 3 {
			t.Errorf("the labels that the selector has kept are of the executors %v, want three", ids)
		}
	})
}

// keepingSelector keeps the labels that it has received, and wants a Set.
type keepingSelector struct {
	labels.Selector
	kept *[]labels.Labels
}

func (s keepingSelector) Matches(l labels.Labels) bool {
	*s.kept = append(*s.kept, l)
	_, isSet := l.(labels.Set)
	return isSet && s.Selector.Matches(l)
}

// A list shows another pod at the same version, as after a restore of the server. The snapshot
// has the new pod, and readers are shown no change, because the executor is the same.
func TestPodOfTheSameVersion(t *testing.T) {
	store := watchsource.NewStore()
	stateOf := func(note string) []*corev1.Pod {
		p := pod("1", uid("u"), version("5"), phase(corev1.PodRunning))
		p.Annotations = map[string]string{"note": note}
		return []*corev1.Pod{p}
	}
	store.ReplaceSnapshot(stateOf("before"))
	reader := newBatchReader(t, store, 0)
	reader.next()
	store.ReplaceSnapshot(stateOf("after"))
	e, _ := store.Snapshot().Get("exec-1")
	if got, _ := e.Annotation("note"); got != "after" {
		t.Errorf("the annotation is %q, want that of the list", got)
	}
	store.UpdatePod(pod("2", uid("v"), version("6")))
	if batch, _ := reader.next(); len(batch.Changes) != 1 || batch.Changes[0].After.Name != "exec-2" {
		t.Errorf("the changes %+v, want only that of the other executor", batch.Changes)
	}
}
