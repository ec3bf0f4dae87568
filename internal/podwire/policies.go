// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/executorpods/watchsource/internal/podwire/protobuf"
)

// policies has the fields of a spec that decide which container the kubelet restarts.
type policies struct {
	// wire is a spec that has only these fields.
	wire string
	// spec is wire decoded. It is nil until a second pod has the same policies.
	spec *corev1.PodSpec
}

// noPolicies has the policies of a pod without a spec.
var noPolicies = &policies{spec: new(corev1.PodSpec)}

const (
	// maxPolicies is the number of policies in a cache.
	maxPolicies = 16
	// longestPolicies is the size in bytes of the longest policies in a cache.
	longestPolicies = 4 << 10
)

// A policyCache lets pods share their policies. The policies that were used last come first.
type policyCache [maxPolicies]*policies

// of returns the policies in a valid spec that [rawpod.TrimSpec] has trimmed.
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
