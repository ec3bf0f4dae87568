// SPDX-License-Identifier: Apache-2.0

// Package choice finds the executor container of a pod: by its name, or by a function of the user.
package choice

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
)

// A Rule says which container of a pod is the executor. Any goroutine may use it.
type Rule struct {
	// Fixed after Named and By.
	names []string
	// byFunc is true if choose names the container, and not names. choose may be nil then.
	byFunc bool
	choose func(names []string) string

	// mu guards the fields below. It is not held while choose runs.
	mu sync.Mutex
	// answers has what choose has returned, by the names of the containers.
	answers map[string]answer
	key     []byte
}

// The answers that a Rule keeps. A scheduler has few kinds of pods.
const (
	maxAnswers = 1024
	// longestKey is in bytes.
	longestKey = 4 << 10
)

// An answer is what a function has returned. problem says why there is no name.
type answer struct{ name, problem string }

// Named returns the rule that the executor is the first of the names that a pod has. If the pod has
// none of them and only one container, that one is the executor. Empty names do not count.
func Named(names ...string) *Rule {
	return &Rule{names: slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == "" })}
}

// By returns the rule that a function names the executor. The function receives the names of the
// containers in the order of the spec, without init containers.
func By(choose func(names []string) string) *Rule {
	return &Rule{byFunc: true, choose: choose, answers: map[string]answer{}}
}

// Find returns the status of the executor container. The status is nil if the container has none
// yet, or if it cannot be found. In the second case problem says why.
func (r *Rule) Find(pod *corev1.Pod) (status *corev1.ContainerStatus, problem string) {
	if r.byFunc {
		return r.findChosen(pod)
	}
	for _, name := range r.names {
		if status, has := statusOf(pod, name); has {
			return status, ""
		}
	}
	switch regular := pod.Status.ContainerStatuses; len(regular) {
	case 0:
		return nil, ""
	case 1:
		return &regular[0], ""
	default:
		return nil, r.missing()
	}
}

func (r *Rule) missing() string {
	last := len(r.names) - 1
	switch {
	case last < 0:
		return "the pod has several containers, and WithExecutorContainer has no name; name the executor's"
	case last == 0:
		return fmt.Sprintf("no container is named %s; set WithExecutorContainer", r.names[0])
	default:
		return fmt.Sprintf("no container is named %s or %s; set WithExecutorContainer", strings.Join(r.names[:last], ", "), r.names[last])
	}
}

// statusOf returns the status of a container, which is nil if it has none yet. has is false if the
// pod has no such container. An init container without a restart policy counts only once it has a
// status: a trimmed spec does not have it.
func statusOf(pod *corev1.Pod, name string) (status *corev1.ContainerStatus, has bool) {
	for _, statuses := range [...][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for i := range statuses {
			if statuses[i].Name == name {
				return &statuses[i], true
			}
		}
	}
	for i := range pod.Spec.Containers {
		if pod.Spec.Containers[i].Name == name {
			return nil, true
		}
	}
	for i := range pod.Spec.InitContainers {
		if c := &pod.Spec.InitContainers[i]; c.Name == name && c.RestartPolicy != nil {
			return nil, true
		}
	}
	return nil, false
}

// findChosen asks the function once a container has a status.
func (r *Rule) findChosen(pod *corev1.Pod) (status *corev1.ContainerStatus, problem string) {
	if len(pod.Status.ContainerStatuses)+len(pod.Status.InitContainerStatuses) == 0 {
		return nil, ""
	}
	var memory [8]string
	names, known := containerNames(memory[:0], pod)
	if !known {
		return nil, fmt.Sprintf("the pod has %d container statuses, but its spec has no containers that the function of "+
			"WithExecutorContainerFunc could choose from; pass the pod with its spec", len(pod.Status.ContainerStatuses))
	}
	if len(names) == 0 {
		return nil, ""
	}
	a := r.answerFor(names)
	if a.problem != "" {
		return nil, a.problem
	}
	status, has := statusOf(pod, a.name)
	if !has {
		return nil, fmt.Sprintf("no container is named %s, which the function of WithExecutorContainerFunc has returned for %q; "+
			"let it return the name of a container that the pod has", a.name, slices.Clone(names)) // so that names stays on the stack
	}
	return status, ""
}

// containerNames appends the names of the containers in the order of the spec. The spec of a
// trimmed pod may lack its only container. known is false if only statuses have the names, because
// the kubelet sorts these by name.
func containerNames(to []string, pod *corev1.Pod) (names []string, known bool) {
	for i := range pod.Spec.Containers {
		to = append(to, pod.Spec.Containers[i].Name)
	}
	switch regular := pod.Status.ContainerStatuses; {
	case len(to) > 0 || len(regular) == 0:
		return to, true
	case len(regular) == 1:
		return append(to, regular[0].Name), true
	default:
		return nil, false
	}
}

// answerFor returns what the function returns for the names. It calls the function if it does not
// know the answer.
func (r *Rule) answerFor(names []string) answer {
	r.mu.Lock()
	r.key = appendKey(r.key[:0], names)
	a, known := r.answers[string(r.key)]
	r.mu.Unlock()
	if known {
		return a
	}
	a = r.ask(slices.Clone(names)) // the function may change and keep the slice
	r.keep(names, a)
	return a
}

func (r *Rule) keep(names []string, a answer) {
	key := string(appendKey(nil, names))
	if len(key) > longestKey {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.answers) >= maxAnswers {
		clear(r.answers)
	}
	r.answers[key] = a
}

// appendKey appends bytes that differ for different lists of names.
func appendKey(key []byte, names []string) []byte {
	for _, name := range names {
		key = binary.AppendUvarint(key, uint64(len(name)))
		key = append(key, name...)
	}
	return key
}

// ask calls the function. A panic becomes a problem of the pod.
func (r *Rule) ask(names []string) (a answer) {
	if r.choose == nil {
		return answer{problem: "the function of WithExecutorContainerFunc is nil; pass a function, or use WithExecutorContainer"}
	}
	of := fmt.Sprintf("%q", names) // before the function can change them
	defer func() {
		if value := recover(); value != nil {
			a = answer{problem: fmt.Sprintf("the function of WithExecutorContainerFunc has panicked for %s: %v; let it return a name for every pod", of, value)}
		}
	}()
	name := r.choose(names)
	if name == "" {
		return answer{problem: fmt.Sprintf("the function of WithExecutorContainerFunc has returned no name for %s; let it return one of them", of)}
	}
	return answer{name: strings.Clone(name)}
}
