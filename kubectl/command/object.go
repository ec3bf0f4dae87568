// SPDX-License-Identifier: Apache-2.0

package command

import (
	"slices"
	"time"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/kubectl/application"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// apiVersion is the version of the objects that the command prints. No API server has them.
const apiVersion = "kubectl-executors/v1"

// An executorList has the executors of one call in JSON and YAML.
type executorList struct {
	metav1.TypeMeta `json:",inline"`
	Items           []*object `json:"items"`
}

func newExecutorList() *executorList {
	return &executorList{TypeMeta: metav1.TypeMeta{APIVersion: apiVersion, Kind: "ExecutorList"}, Items: []*object{}}
}

// DeepCopyObject returns a list with the same executors. They do not change.
func (l *executorList) DeepCopyObject() runtime.Object {
	return &executorList{TypeMeta: l.TypeMeta, Items: slices.Clone(l.Items)}
}

// An executorChange is a change in JSON and YAML. Before is null for an executor that is new.
type executorChange struct {
	metav1.TypeMeta `json:",inline"`
	Time            time.Time `json:"time"`
	Ended           bool      `json:"ended"`
	Gone            string    `json:"gone,omitempty"` // how the executor has left
	Before          *object   `json:"before"`
	After           *object   `json:"after"`
}

func newExecutorChange(app application.ID, change watchsource.Change, now time.Time) *executorChange {
	return &executorChange{
		TypeMeta: metav1.TypeMeta{APIVersion: apiVersion, Kind: "ExecutorChange"},
		Time:     now.UTC(), Ended: change.Ended, Gone: change.Gone.String(),
		Before: objectOf(app, change.Before), After: objectOf(app, change.After),
	}
}

// DeepCopyObject returns a change of the same executor. It does not change.
func (c *executorChange) DeepCopyObject() runtime.Object {
	return new(*c)
}

// An object is an executor in JSON and YAML. It has no part of the pod's spec.
type object struct {
	Application     string     `json:"application"`
	ID              string     `json:"id"`
	Namespace       string     `json:"namespace"`
	Pod             string     `json:"pod"`
	UID             string     `json:"uid"`
	ResourceVersion string     `json:"resourceVersion"`
	State           string     `json:"state"`
	Terminating     bool       `json:"terminating,omitempty"`
	ExitCode        *int32     `json:"exitCode,omitempty"`
	Restarts        int32      `json:"restarts,omitempty"`
	Reason          string     `json:"reason,omitempty"`
	Message         string     `json:"message,omitempty"`
	Disruption      string     `json:"disruption,omitempty"`
	Problem         string     `json:"problem,omitempty"`
	Node            string     `json:"node,omitempty"`
	PodIP           string     `json:"podIP,omitempty"`
	CreatedAt       *time.Time `json:"createdAt,omitempty"`
	StartedAt       *time.Time `json:"startedAt,omitempty"`
	FinishedAt      *time.Time `json:"finishedAt,omitempty"`
}

func objectOf(app application.ID, e *watchsource.Executor) *object {
	if e == nil {
		return nil
	}
	x := &object{
		Application: app.Name, ID: e.ID, Namespace: e.Namespace, Pod: e.Name,
		UID: string(e.UID), ResourceVersion: e.ResourceVersion,
		State: e.State.String(), Terminating: e.Terminating, Restarts: e.Restarts,
		Reason: e.Reason, Message: e.Message, Disruption: e.Disruption, Problem: e.Problem,
		Node: e.Node, PodIP: e.PodIP,
		CreatedAt: timeOrNil(e.CreatedAt), StartedAt: timeOrNil(e.StartedAt), FinishedAt: timeOrNil(e.FinishedAt),
	}
	if e.ExitCode != watchsource.UnknownExitCode {
		x.ExitCode = &e.ExitCode
	}
	return x
}

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return new(t.UTC())
}
