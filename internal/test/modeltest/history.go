// SPDX-License-Identifier: Apache-2.0

package modeltest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/podtest"
	"github.com/executorpods/watchsource/watchtest"
)

// The generator writes the state that it gives a pod into annotations, so the test does not
// have to derive the state from the pod's status.
const (
	stateAnnotation = "test/state" // the State of an executor in this pod
	endAnnotation   = "test/end"   // the number of its end, absent before the end
	stepAnnotation  = "test/step"  // makes each version of a pod different from all others
)

func stateOf(p *corev1.Pod) string { return p.Annotations[stateAnnotation] }
func endOf(p *corev1.Pod) string   { return p.Annotations[endAnnotation] }

// annotationOf returns "" for an annotation that the executor's pod does not have.
func annotationOf(e *watchsource.Executor, key string) string {
	value, _ := e.Annotation(key)
	return value
}

// podOf returns an empty pod for an executor without one.
func podOf(e *watchsource.Executor) *corev1.Pod {
	pod, err := e.Pod()
	if err != nil {
		return &corev1.Pod{}
	}
	return pod
}

// history changes the pods of a server at random, and records the events that an
// uninterrupted watch would receive.
type history struct {
	server    *watchtest.Server
	random    *rand.Rand
	namespace string // the namespace that the source watches, "" for all
	trace     *trace
	selector  labels.Selector

	steps int
	pods  map[types.NamespacedName]*corev1.Pod

	willRestore bool    // the server is restored from a backup once
	backup      *backup // nil until the backup is taken

	mu                  sync.Mutex
	events              []watch.Event          // of the selected pods, oldest first
	eventsBeforeRestore []watch.Event          // the events before the server was restored
	relabelled          map[string]*corev1.Pod // by version, the pods that left the selection
}

// backup holds the state that the server is restored to.
type backup struct {
	restore func() // nil after the restore
	pods    map[types.NamespacedName]*corev1.Pod
	events  int
	version uint64
}

// historyGap separates the versions of two histories. takeBackup advances the server by
// twice this gap, so the restored server does not reach the versions after the backup again.
const historyGap = 1 << 20

// takeBackup backs up the present state.
func (h *history) takeBackup() {
	h.trace.add("the server is backed up")
	h.mu.Lock()
	defer h.mu.Unlock()
	h.backup = &backup{
		restore: h.server.Backup(), pods: maps.Clone(h.pods),
		events: len(h.events), version: parseVersion(h.server.ResourceVersion()),
	}
	h.server.Advance(2 * historyGap)
}

// isRestored reports whether the server has been restored and has a new history.
func (h *history) isRestored() bool { return h.backup != nil && h.backup.restore == nil }

// restoreBackup restores the server.
func (h *history) restoreBackup() {
	h.trace.add("the server is restored from its backup at %d", h.backup.version)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.backup.restore()
	h.backup.restore = nil
	h.pods = h.backup.pods
	h.eventsBeforeRestore = h.events
	h.events = slices.Clip(h.events[:h.backup.events])
}

// randomChange changes one pod at random.
func (h *history) randomChange() {
	h.steps++
	at := types.NamespacedName{
		Namespace: []string{"jobs", "jobs", "jobs", "lab"}[h.random.IntN(4)],
		Name:      "exec-" + strconv.Itoa(h.random.IntN(6)),
	}
	known := h.pods[at]
	switch {
	case known == nil && h.random.IntN(6) == 0:
		h.createAndDelete(at)
	case known == nil:
		h.create(at)
	case stateOf(known) == "Pending" && h.random.IntN(3) > 0:
		h.update(at, "starts", started)
	case endOf(known) != "" && restarts(known) && h.random.IntN(2) == 0:
		h.update(at, "is started again", started)
	case h.random.IntN(5) == 0:
		h.remove(at)
	case h.random.IntN(8) == 0:
		h.remove(at)
		h.create(at) // under another UID
	case h.random.IntN(6) == 0:
		h.relabel(at)
	case endOf(known) == "" && h.random.IntN(2) == 0:
		h.endExecutor(at)
	case h.random.IntN(4) == 0:
		h.update(at, "gets a deletion timestamp", podtest.Deleting)
	default:
		h.update(at, "changes", func(p *corev1.Pod) { p.Annotations["note"] = strconv.Itoa(h.steps) })
	}
}

// createAndDelete creates, ends and deletes a pod before anything else can run.
func (h *history) createAndDelete(at types.NamespacedName) {
	h.create(at)
	h.endExecutor(at)
	h.remove(at)
}

func (h *history) create(at types.NamespacedName) {
	p := podtest.Pod(strings.TrimPrefix(at.Name, "exec-"), podtest.Annotation(stateAnnotation, "Pending"), withFullSpec)
	p.Namespace = at.Namespace
	p.UID = types.UID(fmt.Sprintf("uid-%d-%s", h.steps, at.Name))
	switch h.random.IntN(14) {
	case 0:
		p.Labels[watchsource.LabelApp] = "other"
	case 1:
		p.Labels[watchsource.LabelRole] = "driver"
	case 2:
		delete(p.Labels, watchsource.LabelExecutorID)
	case 3:
		p.Labels[watchsource.LabelExecutorID] = "EXECID"
	case 4:
		p.Status.Phase = "Dreaming"
		podtest.Annotation(stateAnnotation, "Unknown")(p)
	case 5, 6, 7:
		p.Spec.RestartPolicy = corev1.RestartPolicyAlways
	}
	h.trace.add("%s is created as %s", at, p.UID)
	h.write(at, func() *corev1.Pod { return h.server.Create(p) })
}

// update applies changes to a pod. They must not depend on its state.
func (h *history) update(at types.NamespacedName, what string, changes ...func(*corev1.Pod)) {
	h.trace.add("%s %s", at, what)
	h.steps++
	changes = append(changes, podtest.Annotation(stepAnnotation, strconv.Itoa(h.steps)))
	h.write(at, func() *corev1.Pod {
		return h.server.Update(at.Namespace, at.Name, func(p *corev1.Pod) {
			for _, change := range changes {
				change(p)
			}
		})
	})
}

func (h *history) remove(at types.NamespacedName) {
	h.trace.add("%s is deleted", at)
	h.write(at, func() *corev1.Pod {
		h.server.Delete(at.Namespace, at.Name)
		return nil
	})
}

// relabel moves a pod out of the selection or back in.
func (h *history) relabel(at types.NamespacedName) {
	app := podtest.App
	if h.pods[at].Labels[watchsource.LabelApp] == app {
		app = "other"
	}
	h.update(at, "moves to application "+app, podtest.Label(watchsource.LabelApp, app))
}

// endExecutor ends an executor in a random way.
func (h *history) endExecutor(at types.NamespacedName) {
	endNumber := podtest.Annotation(endAnnotation, strconv.Itoa(h.steps))
	code := int32(h.random.IntN(3))
	state, phase := "Succeeded", podtest.Phase(corev1.PodSucceeded)
	if code != 0 {
		state, phase = "Failed", func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }
	}
	last := podtest.Ended(code, "Done")
	last.Terminated.FinishedAt.Time = last.Terminated.FinishedAt.Add(time.Duration(h.steps) * time.Second)
	exit := executorContainerState(last)
	form := h.random.IntN(4)
	if h.willRestore {
		// An end without a time cannot be distinguished from an end that a restore undid.
		form = max(form, 1)
	}
	switch form {
	case 0:
		h.update(at, "is evicted", podtest.Annotation(stateAnnotation, "Failed"), endNumber, func(p *corev1.Pod) {
			p.Status.Phase, p.Status.Reason = corev1.PodFailed, "Evicted"
		})
	case 1:
		h.update(at, "ends beside a sidecar: "+state, podtest.Annotation(stateAnnotation, state), endNumber, exit, func(p *corev1.Pod) {
			p.Status.Phase = corev1.PodRunning
		})
	default:
		h.update(at, "ends: "+state, podtest.Annotation(stateAnnotation, state), endNumber, exit, phase)
	}
}

// restarts reports whether the kubelet restarts the containers of a pod, as in a
// StatefulSet.
func restarts(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodRunning && p.Spec.RestartPolicy == corev1.RestartPolicyAlways
}

func started(p *corev1.Pod) {
	p.Status.Phase, p.Status.PodIP, p.Spec.NodeName = corev1.PodRunning, "10.0.0.1", "node-1"
	executorContainerState(podtest.Running())(p)
	podtest.Annotation(stateAnnotation, "Running")(p)
	delete(p.Annotations, endAnnotation)
}

func executorContainerState(state corev1.ContainerState) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: podtest.ExecutorContainer, State: state}}
	}
}

// withFullSpec sets fields that WithTrimmedPods removes.
func withFullSpec(p *corev1.Pod) {
	always := corev1.ContainerRestartPolicyAlways
	p.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubelet", Operation: metav1.ManagedFieldsOperationUpdate}}
	p.Spec.ServiceAccountName = "spark"
	p.Spec.Containers = []corev1.Container{
		{Name: podtest.ExecutorContainer, Image: "spark:4", Env: []corev1.EnvVar{{Name: "SPARK_USER", Value: "root"}}},
		{Name: "logs", Image: "logs:1", RestartPolicy: &always},
	}
}

// write performs a write and records the event that a watch receives. It holds the lock, so
// the checkingStore cannot look up an event before it is recorded.
func (h *history) write(at types.NamespacedName, apply func() *corev1.Pod) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before, after := h.pods[at], apply()
	wasSelected, isSelected := h.selects(before), h.selects(after)
	switch {
	case isSelected && wasSelected:
		h.events = append(h.events, watch.Event{Type: watch.Modified, Object: after})
	case isSelected:
		h.events = append(h.events, watch.Event{Type: watch.Added, Object: after})
	case wasSelected:
		left := before.DeepCopy()
		left.ResourceVersion = h.server.ResourceVersion()
		if after != nil {
			if h.relabelled == nil {
				h.relabelled = map[string]*corev1.Pod{}
			}
			h.relabelled[left.ResourceVersion] = after
		}
		h.events = append(h.events, watch.Event{Type: watch.Deleted, Object: left})
	}
	if after == nil {
		delete(h.pods, at)
	} else {
		h.pods[at] = after
	}
}

func (h *history) selects(p *corev1.Pod) bool {
	return p != nil && (h.namespace == "" || p.Namespace == h.namespace) && h.selector.Matches(labels.Set(p.Labels))
}

// eventAt returns the event with index n of the history that contains a version, or false
// if that history has no such event yet.
func (h *history) eventAt(n int, version uint64) (watch.Event, *corev1.Pod, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	events := h.eventsOf(version)
	if n >= len(events) {
		return watch.Event{}, nil, false
	}
	return events[n], events[n].Object.(*corev1.Pod), true
}

// relabelledAt returns the pod that left the selection at a version, or nil. A shared watch
// shows it with its new labels.
func (h *history) relabelledAt(version string) *corev1.Pod {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.relabelled[version]
}

// eventsOf returns the events of the history that contains a version. The caller holds h.mu.
func (h *history) eventsOf(version uint64) []watch.Event {
	if h.isRestored() && version > h.backup.version+historyGap {
		return h.eventsBeforeRestore
	}
	return h.events
}

// podsAt returns the selected pods as of a version, and the index of the first event after
// that version.
func (h *history) podsAt(version uint64) (map[types.NamespacedName]*corev1.Pod, int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	pods := map[types.NamespacedName]*corev1.Pod{}
	events := h.eventsOf(version)
	for i, event := range events {
		p := event.Object.(*corev1.Pod)
		switch {
		case versionOf(p) > version:
			return pods, i
		case event.Type == watch.Deleted:
			delete(pods, keyOf(p))
		default:
			pods[keyOf(p)] = p
		}
	}
	return pods, len(events)
}

// olderState returns an earlier state of a pod that still exists, or nil.
func (h *history) olderState() *corev1.Pod {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, event := range slices.Backward(h.events) {
		p := event.Object.(*corev1.Pod)
		now := h.pods[keyOf(p)]
		if h.selects(now) && now.UID == p.UID && now.ResourceVersion != p.ResourceVersion && event.Type != watch.Deleted {
			return p
		}
	}
	return nil
}

func keyOf(p *corev1.Pod) types.NamespacedName {
	return types.NamespacedName{Namespace: p.Namespace, Name: p.Name}
}

func versionOf(p *corev1.Pod) uint64 { return parseVersion(p.ResourceVersion) }

// parseVersion parses a resource version of the test server. These are always numbers.
func parseVersion(version string) uint64 {
	n, err := strconv.ParseUint(version, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}
