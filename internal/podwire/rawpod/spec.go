// SPDX-License-Identifier: Apache-2.0

package rawpod

import "github.com/executorpods/watchsource/internal/podwire/protobuf"

// Fields of PodSpec.
const (
	SpecContainers     = 2
	SpecRestartPolicy  = 3
	SpecNodeName       = 10
	SpecInitContainers = 20
)

// Fields of Container.
const (
	ContainerName          = 1
	ContainerRestartPolicy = 24
	ContainerRestartRules  = 25
)

// TrimSpec appends the fields of a valid spec that decide which container the kubelet restarts, and
// returns the name of the node. It keeps the name, the restart policy and the restart rules of a
// container. Unless all is true, it leaves out init containers without a restart policy, and the
// only container of a pod if it has no restart policy.
func TrimSpec(to, spec protobuf.Message, all bool) (kept protobuf.Message, node []byte) {
	var first protobuf.Field // the first container
	containers := 0
	for f := range spec.Fields() {
		switch f.Key() {
		case SpecNodeName:
			node = f.Value
		case SpecRestartPolicy:
			to = append(to, f.Whole...)
		case SpecInitContainers:
			to = appendPolicy(to, f, all)
		case SpecContainers:
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
		case ContainerRestartPolicy:
			always = true
			left += len(f.Whole)
		case ContainerName, ContainerRestartRules:
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
		case ContainerName, ContainerRestartPolicy, ContainerRestartRules:
			to = append(to, f.Whole...)
			left -= len(f.Whole)
		}
	}
	return to
}
