// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/executorpods/watchsource/internal/places"
	"github.com/executorpods/watchsource/internal/podstate"
	"github.com/executorpods/watchsource/internal/podwire"
)

const (
	// defaultExecutorContainer is Spark's DEFAULT_EXECUTOR_CONTAINER_NAME.
	defaultExecutorContainer = "spark-kubernetes-executor"
	// executorIDPlaceholder stands in the template of a StatefulSet or a
	// Deployment until the driver has patched the real id in.
	executorIDPlaceholder = "EXECID"
)

// rules decide how a pod is read. They belong to one store.
type rules struct {
	podstate.Rules
	// idLabel is empty if the name of the pod is the id.
	idLabel  string
	dropPods bool
	// numericIDs is true if an id that is no number is a Problem, as with Spark's label.
	numericIDs bool
}

// reading is an executor read from its pod and its earlier state.
type reading struct {
	executor *Executor
	ends     podstate.Ends
	// missed is the executor at an earlier end that only the container's last state shows. It is
	// nearly always nil.
	missed *Executor
	// replaced is true if the pod is another one than the known pod of its name.
	replaced bool
}

// read reads an executor from a pod. known is its earlier state, or nil, and ends are those
// known of it. Every field of the pod may be missing.
func (r *rules) read(received *podwire.Pod, known *Executor, ends podstate.Ends) reading {
	reader := podwire.Borrow()
	defer reader.GiveBack()
	pod := reader.Read(received)
	before := podstate.Known{Ends: ends}
	if known != nil {
		before.Seen, before.ResourceVersion, before.CreatedAt = true, known.ResourceVersion, known.CreatedAt
		before.Reading = known.reading()
	}
	now := r.Read(pod, &before)
	if now.Replaced {
		known = nil
	}
	id, problem := r.executorID(received, known)
	e := &Executor{
		Name:            pod.Name,
		Namespace:       pod.Namespace,
		UID:             pod.UID,
		ID:              id,
		Node:            pod.Spec.NodeName,
		PodIP:           pod.Status.PodIP,
		State:           State(now.Reading.State),
		Terminating:     pod.DeletionTimestamp != nil,
		Ready:           now.Ready,
		ExitCode:        now.Reading.ExitCode,
		Restarts:        now.Reading.Restarts,
		Reason:          now.Reading.Reason,
		Message:         now.Reading.Message,
		Disruption:      now.Reading.Disruption,
		CreatedAt:       pod.CreationTimestamp.Time,
		StartedAt:       now.Reading.StartedAt,
		FinishedAt:      now.Reading.FinishedAt,
		ResourceVersion: pod.ResourceVersion,
		Problem:         joined(problem, now.Reading.Problem),
	}
	if !r.dropPods {
		e.pod = received
	}
	if known != nil {
		e.share(known)
	}
	result := reading{executor: e, ends: now.Ends, replaced: now.Replaced}
	if now.Missed != nil {
		result.missed = e.endedBefore(now.Missed, problem)
	}
	return result
}

func joined(problem, other string) string {
	if problem != "" && other != "" {
		return problem + "; " + other
	}
	return problem + other
}

// endedBefore returns the executor at the end of an earlier run.
func (e *Executor) endedBefore(end *podstate.Reading, problem string) *Executor {
	missed := *e
	missed.State, missed.ExitCode, missed.Restarts = State(end.State), end.ExitCode, end.Restarts
	missed.Reason, missed.Message = end.Reason, end.Message
	missed.Ready = false
	missed.StartedAt, missed.FinishedAt = end.StartedAt, end.FinishedAt
	missed.Problem = joined(problem, end.Problem)
	return &missed
}

// reading returns what the executor has of its last reading.
func (e *Executor) reading() podstate.Reading {
	return podstate.Reading{
		State: podstate.State(e.State), ExitCode: e.ExitCode, Restarts: e.Restarts,
		Reason: e.Reason, Message: e.Message, StartedAt: e.StartedAt, FinishedAt: e.FinishedAt,
	}
}

func (r *rules) executorID(pod *podwire.Pod, known *Executor) (id, problem string) {
	if r.idLabel == "" {
		return pod.Name, ""
	}
	if known != nil && known.Problem == "" && known.pod != nil && pod.SameMetadata(known.pod) {
		return known.ID, ""
	}
	switch id, labelled := r.idOf(pod); {
	case labelled && known != nil && id == known.ID && known.Problem == "":
		return id, "" // looked at before
	case !labelled:
		return "", fmt.Sprintf("no label %s", r.idLabel)
	case id == executorIDPlaceholder:
		return "", fmt.Sprintf("label %s holds the placeholder %s", r.idLabel, executorIDPlaceholder)
	case r.numericIDs && !isDecimal(id):
		return id, fmt.Sprintf("label %s is not a number: %q", r.idLabel, id)
	default:
		return id, ""
	}
}

// idOf returns the executor id of a pod. An id that ends the name, as Spark's do, shares its memory.
func (r *rules) idOf(pod *podwire.Pod) (id string, labelled bool) {
	id, labelled = pod.Label(r.idLabel)
	if strings.HasSuffix(pod.Name, id) {
		id = pod.Name[len(pod.Name)-len(id):]
	}
	return id, labelled
}

func isDecimal(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// listReading has the readings of the pods of a list.
type listReading struct {
	readings  []reading
	executors []*Executor
	// replaced has the pods that are other ones than the known pods of their names.
	replaced map[types.UID]bool
	// missed has the executors at ends that only the last state of their containers shows.
	missed map[types.UID]*Executor
}

// readList reads the pods of a list that follows the view of a partition. A list of one namespace
// does not change the executors of the others. A list of all has an empty namespace.
func (r *rules) readList(namespace string, pods []*podwire.Pod, p *partition, had *places.Places) listReading {
	list := listReading{
		readings: make([]reading, 0, len(pods)), executors: make([]*Executor, 0, len(pods)),
		replaced: map[types.UID]bool{}, missed: map[types.UID]*Executor{},
	}
	for _, pod := range pods {
		key := pod.Key()
		index, known := p.of(had, key)
		now := r.read(pod, known, p.endsOf(had, known, index))
		if known != nil && known.equals(now.executor) && known.hasPodOf(now.executor) {
			now.executor = known
		}
		if now.missed != nil {
			list.missed[key] = now.missed
		}
		if now.replaced {
			list.replaced[key] = true
		}
		list.add(now)
	}
	if namespace != metav1.NamespaceAll {
		list.keepOthers(namespace, p, had)
	}
	return list
}

func (l *listReading) add(now reading) {
	l.readings, l.executors = append(l.readings, now), append(l.executors, now.executor)
}

// keepOthers adds the known executors of other namespaces.
func (l *listReading) keepOthers(namespace string, p *partition, had *places.Places) {
	for known := range p.view().all() {
		if known.Namespace != namespace {
			index, _ := p.of(had, known.key())
			l.add(reading{executor: known, ends: p.endsOf(had, known, index)})
		}
	}
}
