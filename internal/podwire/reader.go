// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"sync"

	corev1 "k8s.io/api/core/v1"

	"github.com/executorpods/watchsource/internal/podwire/rawpod"
)

// A Reader reads the fields of a pod from which a store makes an executor. It reads one pod after
// the other into the same memory. The zero value is ready to use. Only one goroutine at a time may
// use it.
type Reader struct {
	pod    corev1.Pod
	status []byte
}

// readers is a pool for all stores of the process, because most stores are idle most of the time.
var readers = sync.Pool{New: func() any { return new(Reader) }}

// Borrow returns a Reader. The caller must give it back.
func Borrow() *Reader { return readers.Get().(*Reader) }

// GiveBack gives a Reader back. The pod that it has returned is then invalid, but the strings in
// the pod remain valid.
func (r *Reader) GiveBack() { readers.Put(r) }

// Read returns a pod that has only these fields:
//
//   - the name, the namespace, the UID, the resource version, the creation timestamp and the
//     deletion timestamp;
//   - the node, the restart policy of the pod, and the name, restart policy and restart rules of
//     each container;
//   - the phase, the reason, the message, the address, the conditions without their times, and the
//     name, ID, restart count, state and last state of each container.
//
// The pod is valid until Read is called again, and its strings remain valid. If another decoder has
// decoded the pod, Read returns that pod itself. The caller must not change the pod.
func (r *Reader) Read(p *Pod) *corev1.Pod {
	if p.decoded != nil {
		return p.decoded
	}
	meta, spec, policies := &r.pod.ObjectMeta, &r.pod.Spec, p.policies.spec
	if policies == nil {
		policies = p.policies.decode()
	}
	meta.Namespace, meta.Name, meta.UID, meta.ResourceVersion = p.Namespace, p.Name, p.UID, p.ResourceVersion
	meta.CreationTimestamp, meta.DeletionTimestamp = p.created, p.deletion
	spec.NodeName, spec.RestartPolicy = p.node, policies.RestartPolicy
	spec.Containers, spec.InitContainers = policies.Containers, policies.InitContainers
	r.status = p.status.AppendTo(r.status[:0])
	rawpod.ReadStatus(&r.pod.Status, r.status)
	return &r.pod
}
