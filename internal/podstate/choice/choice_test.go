// SPDX-License-Identifier: Apache-2.0

package choice

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// podOf returns a pod with containers that have a status.
func podOf(names ...string) *corev1.Pod {
	pod := &corev1.Pod{}
	for _, name := range names {
		pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: name})
		pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, corev1.ContainerStatus{Name: name})
	}
	return pod
}

// A rule that sees more kinds of pods than it keeps answers for forgets some, and calls the function
// again for these. The answers stay right.
func TestAnswersAreBounded(t *testing.T) {
	calls := 0
	rule := By(func(names []string) string {
		calls++
		return names[1]
	})
	for i := range 3 * maxAnswers {
		name := fmt.Sprint("main-", i)
		if status, problem := rule.Find(podOf("a", name)); status == nil || status.Name != name {
			t.Fatalf("found %v, %q for the pod with %s, want its second container", status, problem, name)
		}
	}
	if n := len(rule.answers); n > maxAnswers {
		t.Errorf("%d answers are kept, want at most %d", n, maxAnswers)
	}
	if calls != 3*maxAnswers {
		t.Errorf("%d calls for %d kinds of pods, want one for each", calls, 3*maxAnswers)
	}
}

// A rule keeps no answer for a pod with unusually long names.
func TestLongNamesAreNotKept(t *testing.T) {
	rule := By(func(names []string) string { return names[0] })
	name := strings.Repeat("x", longestKey)
	if status, problem := rule.Find(podOf(name)); status == nil {
		t.Errorf("found nothing, %q; want the container", problem)
	}
	if n := len(rule.answers); n != 0 {
		t.Errorf("%d answers are kept, want none", n)
	}
}

// Pods whose names are the same text when put together are of different kinds.
func TestKindsOfPodsAreDistinguished(t *testing.T) {
	rule := By(func(names []string) string { return names[0] })
	for _, names := range [][]string{{"ab", "c"}, {"a", "bc"}, {"abc"}, {"a", "b", "c"}} {
		if status, problem := rule.Find(podOf(names...)); status == nil || status.Name != names[0] {
			t.Errorf("found %v, %q for %q, want %s", status, problem, names, names[0])
		}
	}
}

// Several goroutines may use a rule.
func TestRuleIsSafeForConcurrentUse(t *testing.T) {
	rule := By(func(names []string) string { return names[0] })
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := range 2 * maxAnswers {
				name := fmt.Sprint(i)
				if status, problem := rule.Find(podOf(name, "sidecar")); status == nil || status.Name != name {
					t.Errorf("found %v, %q, want %s", status, problem, name)
				}
			}
		})
	}
	all.Wait()
}

// What a function costs beside a name, for a pod with a sidecar.
func BenchmarkFind(b *testing.B) {
	pod := podOf("worker", "sidecar")
	for _, rule := range []struct {
		name string
		*Rule
	}{
		{"name", Named("worker")},
		{"third name", Named("driver", "main", "worker")},
		{"function", By(func(names []string) string { return names[0] })},
	} {
		b.Run("rule="+rule.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				rule.Find(pod)
			}
		})
	}
}
