// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/executorpods/watchsource/internal/podwire/protobuf"
)

// policies has the fields of a spec that decide which container the kubelet restarts.
type policies struct {
	wire string          // a spec that has only these fields
	spec *corev1.PodSpec // wire decoded; nil until a second pod has the same policies
}

// noPolicies has the policies of a pod without a spec.
var noPolicies = &policies{spec: new(corev1.PodSpec)}

const (
	maxPolicies     = 16      // the number of policies in a cache
	longestPolicies = 4 << 10 // the size in bytes of the longest policies in a cache
)

// A policyCache lets pods share their policies. The policies that were used last come first.
type policyCache [maxPolicies]*policies

// of returns the policies in a valid spec that [trim] has trimmed.
func (c *policyCache) of(wire protobuf.Message) *policies {
	for i, known := range c {
		if known == nil {
			break
		}
		if known.wire == string(wire) {
			copy(c[1:i+1], c[:i])
			c[0] = known.decoded()
			return c[0]
		}
	}
	read := &policies{wire: string(wire)}
	if len(wire) <= longestPolicies {
		copy(c[1:], c[:])
		c[0] = read
	}
	return read
}

// decoded returns the same policies with the spec.
func (p *policies) decoded() *policies {
	if p.spec != nil {
		return p
	}
	return &policies{wire: p.wire, spec: p.decode()}
}

func (p *policies) decode() *corev1.PodSpec {
	spec := new(corev1.PodSpec)
	spec.Unmarshal([]byte(p.wire))
	return spec
}

// Fields of PodSpec.
const (
	specContainers     = 2
	specRestartPolicy  = 3
	specNodeName       = 10
	specInitContainers = 20
)

// Fields of Container.
const (
	containerName          = 1
	containerRestartPolicy = 24
	containerRestartRules  = 25
)

// trimmed returns the parts of a pod with a spec that has only the node, the restart policy and what
// decides which container is restarted. The parts must be valid.
func (p podParts) trimmed() podParts {
	spec, node := trim(nil, p.spec, false)
	if node != nil {
		spec = protobuf.AppendBytes(spec, specNodeName, node)
	}
	p.spec = spec
	return p
}

// trim appends the fields of a valid spec that decide which container the kubelet restarts, and
// returns the name of the node. It keeps the name, the restart policy and the restart rules of a
// container. Unless all is true, it leaves out init containers without a restart policy, and the
// only container of a pod if it has no restart policy.
func trim(to, spec protobuf.Message, all bool) (kept protobuf.Message, node []byte) {
	var first protobuf.Field // the first container
	containers := 0
	for f := range spec.Fields() {
		switch f.Key() {
		case specNodeName:
			node = f.Value
		case specRestartPolicy:
			to = append(to, f.Whole...)
		case specInitContainers:
			to = appendPolicy(to, f, all)
		case specContainers:
			if containers++; containers == 1 {
				first = f
				continue
			}
			if containers == 2 {
				to = appendPolicy(to, first, true)
			}
			to = appendPolicy(to, f, true)
		}
	}
	if containers == 1 {
		to = appendPolicy(to, first, all)
	}
	return to, node
}

// appendPolicy appends the trimmed container if it has a restart policy or if always is true.
func appendPolicy(to protobuf.Message, container protobuf.Field, always bool) protobuf.Message {
	left := 0 // bytes to append
	for m := protobuf.Message(container.Value); len(m) > 0; {
		f, ok := m.Next()
		if !ok {
			break
		}
		switch f.Key() {
		case containerRestartPolicy:
			always = true
			left += len(f.Whole)
		case containerName, containerRestartRules:
			left += len(f.Whole)
		}
	}
	if !always {
		return to
	}
	to = protobuf.AppendHead(to, container.Number, left)
	for m := protobuf.Message(container.Value); left > 0; { // the name comes first, and most have nothing else
		f, _ := m.Next()
		switch f.Key() {
		case containerName, containerRestartPolicy, containerRestartRules:
			to = append(to, f.Whole...)
			left -= len(f.Whole)
		}
	}
	return to
}
