// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"
	"fmt"
	"strconv"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/executorpods/watchsource/internal/test/podtest"
)

// ownerSizes are the sizes of the scenario for operators. The first owner has no workers at the
// start. Then its workers are created, run and succeed, all of them at once, and after that one
// worker of the second owner succeeds.
type ownerSizes struct {
	Workers int `json:"workers"` // of the first owner
	Others  int `json:"others"`  // owners besides the first
	Each    int `json:"each"`    // workers of each of the others
}

func (n ownerSizes) check() error {
	if n.Workers < 1 || n.Others < 1 || n.Each < 1 {
		return fmt.Errorf("-workers %d -others %d -each %d: there must be a worker of the first owner, another owner, and a worker of each", n.Workers, n.Others, n.Each)
	}
	return nil
}

// flags makes the flags of the sizes.
func (n *ownerSizes) flags(flags *flag.FlagSet) {
	flags.IntVar(&n.Workers, "workers", 1_000, "number of workers of the first owner, which change at once")
	flags.IntVar(&n.Others, "others", 400, "number of other owners")
	flags.IntVar(&n.Each, "each", 10, "number of workers of each of the other owners")
}

// arguments are flags with these sizes.
func (n ownerSizes) arguments() []string {
	return []string{"-workers", strconv.Itoa(n.Workers), "-others", strconv.Itoa(n.Others), "-each", strconv.Itoa(n.Each)}
}

// stages are the events of a worker: it is created, it runs, it has succeeded.
const stages = 3

// events is the number of events of the first owner.
func (n ownerSizes) events() int { return stages * n.Workers }

// running is the number of the other owners' workers, which run at the start.
func (n ownerSizes) running() int { return n.Others * n.Each }

// pods is the number of all workers.
func (n ownerSizes) pods() int { return n.running() + n.Workers }

// firstOwner and secondOwner are the owners whose workers change.
var firstOwner, secondOwner = nthApp(0), nthApp(1)

// An ownerScript makes the frames of the scenario.
type ownerScript struct {
	ownerSizes
	initial   podTemplate         // frame of a worker that is there at the start
	templates [stages]podTemplate // frames of the stages
}

func newOwnerScript(sizes ownerSizes) *ownerScript {
	template := func(event watch.EventType, pod *corev1.Pod) podTemplate {
		return templateOf(pod, func(pod *corev1.Pod) []byte { return protobufFrame(event, pod) })
	}
	return &ownerScript{
		ownerSizes: sizes,
		initial:    template(watch.Added, runningWorker()),
		templates: [stages]podTemplate{
			template(watch.Added, createdWorker()), template(watch.Modified, runningWorker()), template(watch.Modified, succeededWorker()),
		},
	}
}

// appendRunning appends the frame of the i-th of the other owners' workers.
func (s *ownerScript) appendRunning(to []byte, i int) []byte {
	return s.initial.appendPod(to, i, i+1, nthApp(1+i%s.Others))
}

// appendEvent appends the j-th event of the first owner. All workers are in one stage before one
// of them is in the next.
func (s *ownerScript) appendEvent(to []byte, j int) []byte {
	worker, stage := j%s.Workers, j/s.Workers
	return s.templates[stage].appendPod(to, s.running()+worker, s.listVersion()+1+j, firstOwner)
}

// appendLast appends the event of the second owner.
func (s *ownerScript) appendLast(to []byte) []byte {
	return s.templates[stages-1].appendPod(to, 0, s.listVersion()+1+s.events(), secondOwner)
}

func (s *ownerScript) listVersion() int { return s.running() }

// runningWorker is a pod of Spark that belongs to a Job. The Job has the name and the UID of the
// application, so that both are overwritten by those of another owner.
func runningWorker() *corev1.Pod {
	pod := podtest.Executor(templatePod, templateVersion, true)
	pod.OwnerReferences = []metav1.OwnerReference{{
		APIVersion: batchv1.SchemeGroupVersion.String(), Kind: "Job", Name: firstOwner, UID: types.UID(firstOwner),
		Controller: new(true), BlockOwnerDeletion: new(true),
	}}
	return pod
}

func createdWorker() *corev1.Pod {
	pod := runningWorker()
	pod.Spec.NodeName = ""
	delete(pod.Annotations, "cni.projectcalico.org/podIP")
	pod.Status = corev1.PodStatus{Phase: corev1.PodPending, QOSClass: pod.Status.QOSClass}
	return pod
}

func succeededWorker() *corev1.Pod {
	pod := runningWorker()
	pod.Status.Phase = corev1.PodSucceeded
	for i := range pod.Status.Conditions {
		if c := &pod.Status.Conditions[i]; c.Type == corev1.PodReady || c.Type == corev1.ContainersReady {
			c.Status, c.Reason = corev1.ConditionFalse, "PodCompleted"
		}
	}
	status := &pod.Status.ContainerStatuses[0]
	started := status.State.Running.StartedAt
	status.Ready, status.Started = false, new(false)
	status.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		Reason: "Completed", StartedAt: started, FinishedAt: metav1.NewTime(started.Add(10 * time.Minute)), ContainerID: status.ContainerID,
	}}
	return pod
}
