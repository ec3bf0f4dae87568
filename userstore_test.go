// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/internal/test/podtest"
	"github.com/executorpods/watchsource/watchtest"
)

// The pods that a store of the user receives.

// A user's own store receives pods of any shape as client-go decodes them, without managedFields,
// or in the form that WithTrimmedPods documents: listed, added, modified and deleted.
func TestPodsOfAUsersStore(t *testing.T) {
	for form, options := range map[string][]watchsource.Option{"whole": nil, "trimmed": {watchsource.WithTrimmedPods()}} {
		t.Run(form, func(t *testing.T) {
			eachPodWay(t, func(t *testing.T, way podWay) { wantPodsInUsersStore(t, way, options) })
		})
	}
}

func wantPodsInUsersStore(t *testing.T, way podWay, options []watchsource.Option) {
	pods, shapes := versionsOf(way.server), way.shapes()
	for i, p := range restartPolicies() {
		shapes[fmt.Sprint("policies-", i)] = executorOf(p, fmt.Sprint("policies-", i))
	}
	names := slices.Sorted(maps.Keys(shapes))
	for _, name := range names {
		pods.create(shapes[name])
	}
	user := new(podRecorder)
	var to watchsource.SnapshotsStore = user
	if way.user != nil {
		to = watchsource.Tee(watchsource.NewStore(watchsource.WithoutPods(), watchsource.WithLogger(logr.Discard())), user)
	}
	source := way.newSource(to, way.client(t, way.server), options...)
	start(t, source, podtest.App)
	defer source.Stop()
	for _, name := range names {
		pods.create(executorOf(shapes[name].DeepCopy(), "added-"+name))
		pods.update(name, become(podtest.Executor(1, 1, true)))
		synctest.Wait()
		pods.update(name, become(shapes[name]))
		synctest.Wait()
		pods.delete("added-" + name)
	}
	synctest.Wait()
	if want := 5 * len(names); len(user.all) != want {
		t.Fatalf("the store received %d pods, want %d", len(user.all), want)
	}
	for _, got := range user.all {
		want := pods.pods[versionKey(got.Name, got.ResourceVersion)]
		if want == nil {
			t.Fatalf("the store received %s at version %s, want a pod that the server had", got.Name, got.ResourceVersion)
		}
		wantPod(t, got, want, options == nil)
	}
}

// The same is true of client-go's fake clientset. The source does not change the fake's pods.
func TestPodsOfAUsersStoreOnAFake(t *testing.T) {
	for form, options := range map[string][]watchsource.Option{"whole": nil, "trimmed": {watchsource.WithTrimmedPods()}} {
		t.Run(form, func(t *testing.T) {
			eachConstructor(t, func(t *testing.T, newSource modeltest.NewSource) {
				synctest.Test(t, func(t *testing.T) { wantFakesPodsInUsersStore(t, newSource, options) })
			})
		})
	}
}

func wantFakesPodsInUsersStore(t *testing.T, newSource modeltest.NewSource, options []watchsource.Option) {
	var pods []*corev1.Pod
	for i, p := range append(restartPolicies(), podtest.Filled(1), podtest.Filled(2), podtest.Executor(1, 1, true)) {
		pods = append(pods, executorOf(p, fmt.Sprint("exec-", i)))
	}
	list, events := new(corev1.PodList), watch.NewRaceFreeFake()
	for _, p := range pods {
		list.Items = append(list.Items, *p.DeepCopy())
	}
	client := fake.NewClientset()
	client.PrependReactor("list", "pods", func(k8stesting.Action) (bool, runtime.Object, error) { return true, list, nil })
	client.PrependWatchReactor("pods", func(k8stesting.Action) (bool, watch.Interface, error) { return true, events, nil })
	user := new(podRecorder)
	source := newSource(user, client, options...)
	start(t, source, podtest.App)
	defer source.Stop()
	for i := range pods {
		events.Modify(&list.Items[i])
	}
	for i := range pods {
		events.Delete(&list.Items[i])
	}
	synctest.Wait()
	if want := 3 * len(pods); len(user.all) != want {
		t.Fatalf("the store received %d pods, want %d", len(user.all), want)
	}
	for i, got := range user.all {
		wantPod(t, got, pods[i%len(pods)], options == nil)
	}
	for i, p := range pods {
		if !podtest.Equal(&list.Items[i], p) {
			t.Errorf("%s: the fake's pod has become\n%+v\nwant\n%+v", p.Name, list.Items[i], p)
		}
	}
}

// restartPolicies returns pods whose containers have policies and rules in different places.
func restartPolicies() []*corev1.Pod {
	rules := restartRule(corev1.ContainerRestartRuleOnExitCodesOpNotIn, corev1.ContainerRestartRuleActionRestart, 1, 2)
	return []*corev1.Pod{
		pod("1", container(executorContainer, running()), rules),
		pod("1", container(executorContainer, running()), containerPolicy(executorContainer, "Always"), restartPolicyAlways),
		pod("1", container(executorContainer, running()), container("logs", running())),
		pod("1", container(executorContainer, running()), container("logs", running()), rules),
		pod("1", container(executorContainer, running()), initContainer("fetch", "", ended(0, "Completed"))),
		pod("1", container(executorContainer, running()), initContainer("fetch", "", ended(0, "Completed")),
			initContainer("proxy", "Always", running())),
		pod("1", container(executorContainer, running()), ephemeralContainer("debug", running())),
	}
}

// A pod that a user's own store has received shares no memory with another that it has received:
// not with an earlier state, and not with a pod that is equal to it.
func TestPodsOfAUsersStoreAreSeparate(t *testing.T) {
	eachPodWay(t, func(t *testing.T, way podWay) {
		for id := range 3 {
			way.server.Create(alike(id))
		}
		user := new(podRecorder)
		var to watchsource.SnapshotsStore = user
		if way.user != nil {
			to = watchsource.Tee(user, way.user)
		}
		source := way.newSource(to, way.client(t, way.server))
		start(t, source, podtest.App)
		defer source.Stop()
		way.server.Create(alike(3))
		way.server.Update(podtest.Namespace, "alike-1", phase(corev1.PodFailed))
		synctest.Wait()
		way.server.Update(podtest.Namespace, "alike-1", phase(corev1.PodRunning))
		way.server.Delete(podtest.Namespace, "alike-2")
		synctest.Wait()
		if len(user.all) != 7 {
			t.Fatalf("the store received %d pods, want 7", len(user.all))
		}
		want := make([]*corev1.Pod, len(user.all))
		for i, p := range user.all {
			want[i] = p.DeepCopy()
		}
		for i, p := range user.all {
			spoil(t, p)
			for j, other := range user.all[i+1:] {
				if !podtest.Equal(other, want[i+1+j]) {
					t.Fatalf("a change of %s at version %s has changed %s, want it unchanged", want[i].Name, want[i].ResourceVersion,
						versionKey(want[i+1+j].Name, want[i+1+j].ResourceVersion))
				}
			}
		}
	})
}

// fullPod returns a pod with values in most fields, and containers that have a restart
// policy and rules.
func fullPod(id int) *corev1.Pod {
	p := podtest.Executor(id, 1, true)
	p.Namespace = podtest.Namespace
	label(watchsource.LabelApp, podtest.App)(p)
	always := corev1.ContainerRestartPolicyAlways
	p.Spec.InitContainers = append(p.Spec.InitContainers, corev1.Container{Name: "proxy", Image: "proxy", RestartPolicy: &always})
	never := corev1.ContainerRestartPolicyNever
	p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "logs", Image: "logs", RestartPolicy: &never, RestartPolicyRules: []corev1.ContainerRestartRule{{
		Action:    corev1.ContainerRestartRuleActionRestart,
		ExitCodes: &corev1.ContainerRestartRuleOnExitCodes{Operator: corev1.ContainerRestartRuleOnExitCodesOpIn, Values: []int32{42, 43}},
	}}})
	return p
}

// podRecorder is a store that records all pods that it receives.
type podRecorder struct {
	mu  sync.Mutex
	all []*corev1.Pod
}

func (s *podRecorder) UpdatePod(p *corev1.Pod) { s.ReplaceSnapshot([]*corev1.Pod{p}) }

func (s *podRecorder) DeletePod(p *corev1.Pod) { s.ReplaceSnapshot([]*corev1.Pod{p}) }

func (s *podRecorder) ReplaceSnapshot(pods []*corev1.Pod) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, pods...)
}

// check compares the three listed pods and the pods of three events with the pods that the
// server had at these versions.
func (s *podRecorder) check(t *testing.T, server *watchtest.Server, whole bool) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.all) != 6 {
		t.Fatalf("the store received %d pods, want 6", len(s.all))
	}
	for _, got := range s.all {
		want := fullPod(0)
		for id := range 4 {
			if p := fullPod(id); p.Name == got.Name {
				want = p
			}
		}
		want.ResourceVersion = got.ResourceVersion
		want.Status.Phase = got.Status.Phase
		wantPod(t, got, want, whole)
	}
	if s.all[4].Status.Phase != corev1.PodSucceeded {
		t.Errorf("phase %s after an update, want Succeeded", s.all[4].Status.Phase)
	}
}

// wantPod fails unless got is the pod in the documented form.
func wantPod(t *testing.T, got, pod *corev1.Pod, whole bool) {
	t.Helper()
	want := pod.DeepCopy()
	want.ManagedFields = nil
	if !whole {
		want.Spec = podtest.TrimmedSpec(pod)
	}
	if got.ManagedFields != nil || !podtest.Equal(got, want) {
		t.Errorf("%s:\ngot  %+v\nwant %+v", got.Name, got, want)
	}
}
