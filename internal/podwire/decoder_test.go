// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/executorpods/watchsource/internal/podwire/envelope"
	"github.com/executorpods/watchsource/internal/podwire/packing"
	"github.com/executorpods/watchsource/internal/podwire/protobuf"
	"github.com/executorpods/watchsource/internal/podwire/protobuf/protobuftest"
	"github.com/executorpods/watchsource/internal/podwire/rawpod"
	"github.com/executorpods/watchsource/internal/test/podtest"
)

// Any pod, damaged or not, is read as client-go reads it, and trimmed.
func FuzzPod(f *testing.F) {
	for seed := range uint64(4) { // one for each memory
		f.Add(seed, []byte{})
		for part := range byte(3) { // metadata, spec, status
			for how := range byte(7) {
				f.Add(seed, []byte{part, how, byte(37 * seed)})
			}
			for of := range byte(16) { // and within
				how, more := of%7, byte(37*seed)
				f.Add(seed, []byte{part, 7, 0, of, 0, 0})
				f.Add(seed, []byte{part, 7, 0, of, how, more})
				f.Add(seed, []byte{part, 7, 0, of, 7, 0, 0, 3, protobuf.BytesKind})
				f.Add(seed, []byte{part, 7, 0, of, 7, 0, byte(seed), how, more})
				f.Add(seed, []byte{part, 7, 0, of, 7, 0, byte(seed), 7, 0, 0, how, more})
			}
		}
	}
	f.Fuzz(func(t *testing.T, seed uint64, script []byte) {
		first, other := podtest.Filled(seed), podtest.Filled(seed+1)
		first.UID = cmp.Or(first.UID, "known") // to have states
		whole, err := first.Marshal()
		if err != nil {
			t.Skip(err)
		}
		namesake, err := other.Marshal()
		if err != nil {
			t.Skip(err)
		}
		pod := protobuftest.Damaged(whole, script)
		c := newComparison(last, memories[seed%uint64(len(memories))])
		c.object(t, wrapped("Pod", namesake))
		c.object(t, wrapped("Pod", whole))
		c.object(t, wrapped("Pod", pod))
		c.object(t, wrapped("Pod", whole))
		c.object(t, wrapped("PodList", listOf(whole, pod, namesake)))
		c.object(t, wrapped("Pod", protobuftest.Damaged(pod, script[min(len(script), 3):])))
		c.object(t, wrapped("Pod", namesake))
	})
}

// A state that differs from the one before in a single byte is not taken for the
// same, wherever that byte is.
func TestEveryByteCounts(t *testing.T) {
	pod := podtest.Executor(1, 1, true)
	pod.ManagedFields = pod.ManagedFields[1:] // the shorter ones
	whole, err := pod.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	c := newComparison(last)
	c.object(t, wrapped("Pod", whole))
	for i := range whole {
		changed := bytes.Clone(whole)
		changed[i] ^= 1
		c.object(t, wrapped("Pod", changed))
		c.object(t, wrapped("Pod", whole))
	}
}

// A state of which a field is missing, comes twice or is out of place is not
// taken for the one before, two and three levels down.
func TestEveryFieldCounts(t *testing.T) {
	whole, err := podtest.Executor(1, 1, true).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	c := newComparison(last)
	c.object(t, wrapped("Pod", whole))
	differ := func(script ...byte) {
		c.object(t, wrapped("Pod", protobuftest.Damaged(whole, script)))
		c.object(t, wrapped("Pod", whole))
	}
	for part := range byte(3) {
		for of := range byte(16) {
			for how := range byte(4) {
				differ(part, 7, 0, of, how, 3)
				for within := range byte(16) {
					differ(part, 7, 0, of, 7, 0, within, how, 3)
				}
			}
		}
	}
}

// Containers as no server should report them.
func TestOddContainers(t *testing.T) {
	c := newComparison(memories...)
	for name, odd := range map[string][]byte{
		"started that is no number":        {9<<3 | protobuf.BytesKind, 0},
		"started that is neither":          {9<<3 | protobuf.VarintKind, 2},
		"started in two bytes":             {9<<3 | protobuf.VarintKind, 0x80, 0},
		"ready that is no number":          {4<<3 | protobuf.BytesKind, 0},
		"a name after what was resources":  {11<<3 | protobuf.BytesKind, 0, rawpod.ContainerStatusName<<3 | protobuf.BytesKind, 1, 'x'},
		"what was resources in two places": {12<<3 | protobuf.BytesKind, 3, 1<<3 | protobuf.BytesKind, 1, 'x', 13<<3 | protobuf.BytesKind, 0, 12<<3 | protobuf.BytesKind, 0},
		"what was resources, cut short":    {11<<3 | protobuf.BytesKind, 9},
	} {
		t.Run(name, func(t *testing.T) {
			for _, first := range []byte{rawpod.ContainerStatusName<<3 | protobuf.BytesKind, rawpod.ContainerStatusContainerID<<3 | protobuf.BytesKind} {
				container := append([]byte{first, 1, 'c'}, odd...)
				status := append([]byte{rawpod.StatusContainerStatuses<<3 | protobuf.BytesKind, byte(len(container))}, container...)
				pod := append([]byte{rawpod.PodMetadata<<3 | protobuf.BytesKind, 3, rawpod.MetaUID<<3 | protobuf.BytesKind, 1, 'u', rawpod.PodStatus<<3 | protobuf.BytesKind, byte(len(status))}, status...)
				c.object(t, wrapped("Pod", pod))
				c.object(t, wrapped("Pod", pod))
			}
		})
	}
}

// The fields of a manager as no server should send them. They are not decoded, and still the
// damage is found with each client-go.
func TestOddManagedFields(t *testing.T) {
	c := newComparison(memories...)
	for name, fields := range map[string][]byte{
		"none":                      {},
		"empty":                     {packing.FieldsRaw<<3 | protobuf.BytesKind, 0},
		"as they should be":         {packing.FieldsRaw<<3 | protobuf.BytesKind, 2, '{', '}'},
		"two times":                 {packing.FieldsRaw<<3 | protobuf.BytesKind, 0, packing.FieldsRaw<<3 | protobuf.BytesKind, 0},
		"that are a number":         {packing.FieldsRaw<<3 | protobuf.VarintKind, 2},
		"that are four bytes":       {packing.FieldsRaw<<3 | protobuf.Fixed32Kind, 1, 2, 3, 4},
		"cut short":                 {packing.FieldsRaw<<3 | protobuf.BytesKind, 9, '{', '}'},
		"of a newer API":            {2<<3 | protobuf.VarintKind, 1},
		"a field with the number 0": {0<<3 | protobuf.BytesKind, 0},
	} {
		t.Run(name, func(t *testing.T) {
			entry := append([]byte{7<<3 | protobuf.BytesKind, byte(len(fields))}, fields...)
			metadata := binary.AppendUvarint([]byte{rawpod.MetaUID<<3 | protobuf.BytesKind, 1, 'u'}, rawpod.MetaManagedFields<<3|protobuf.BytesKind)
			metadata = append(append(metadata, byte(len(entry))), entry...)
			c.object(t, wrapped("Pod", append([]byte{rawpod.PodMetadata<<3 | protobuf.BytesKind, byte(len(metadata))}, metadata...)))
		})
	}
}

// Labels as they may differ from those of the pod before in the same memory.
func TestLabelsOfTheNextPod(t *testing.T) {
	c := newComparison(memories...)
	text := func(number int, s string) []byte {
		return append([]byte{byte(number)<<3 | protobuf.BytesKind, byte(len(s))}, s...)
	}
	for i, labels := range [][]string{ // keys and values
		{"a", "1", "b", "2"},
		{"a", "1", "b", "3"},
		{"a", "1"},
		{},
		{"a", "1", "b", "3"},
		{"b", "3", "a", "1"},
		{"b", "", "a", "1"},
		{"a", "1", "a", "2"}, // as no server sends them
		{"a", "3", "a", "2"},
		{"a", "2", "c", "2", "b", "2"},
		{"a", "2", "b", "2", "c", "2"},
	} {
		metadata := append(text(rawpod.MetaName, "pod-2"), text(rawpod.MetaUID, "u")...)
		for j := 0; j < len(labels); j += 2 {
			entry := append(text(protobuf.MapKey, labels[j]), text(protobuf.MapValue, labels[j+1])...)
			metadata = append(metadata, text(rawpod.MetaLabels, string(entry))...)
		}
		t.Log(i, labels)
		c.object(t, wrapped("Pod", text(rawpod.PodMetadata, string(metadata))))
	}
}

// Whatever else may come in the place of an object.
func FuzzObject(f *testing.F) {
	pod := enveloped(f, podtest.Executor(1, 1, true))
	f.Add(pod)
	f.Add(pod[:len(pod)-1])
	f.Add(enveloped(f, &corev1.PodList{ListMeta: metav1.ListMeta{ResourceVersion: "7", Continue: "more"}, Items: []corev1.Pod{*podtest.Executor(1, 1, true)}}))
	f.Add(enveloped(f, &metav1.Status{Status: metav1.StatusFailure, Code: 410}))
	f.Add(enveloped(f, &corev1.Node{}))
	f.Add(protobuftest.Damaged(pod[len(envelope.Magic):], []byte{0, 0, 0}))
	f.Add(bytes.ReplaceAll(pod, []byte("9011Mi"), []byte("90x1Mi"))) // no quantity
	f.Add(bytes.Replace(pod, []byte("v1"), []byte("v9"), 1))         // no version
	f.Add(wrapped("Pod", nil))
	f.Add(wrapped("Pod", []byte{1<<3 | 3, 1<<3 | 4})) // a group
	f.Add(wrapped("Pod", []byte{0, 0}))
	f.Add([]byte("k8s\x00"))
	f.Add([]byte(`{"apiVersion":"v1","kind":"Pod"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c := newComparison(memories...)
		c.object(t, pod)
		c.object(t, data)
		c.object(t, pod)
		c.object(t, data)
	})
}

// Nothing that a server may rightly send is left to client-go: if it were, the
// tests above would compare client-go with itself.
func TestNothingIsLeft(t *testing.T) {
	d := newDecoder(Wire, nil, nil)
	for seed := range uint64(200) {
		pod, err := podtest.Filled(seed).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if d.object(wrapped("Pod", pod)) == nil {
			t.Errorf("the pod of seed %d is not decoded, want it decoded", seed)
		}
		for part := range byte(3) {
			newer := protobuftest.Damaged(pod, []byte{part, 7, 0, 0, 3, protobuf.Fixed64Kind})
			if d.object(wrapped("Pod", newer)) == nil {
				t.Errorf("the pod of seed %d with a field of a newer API is not decoded, want it decoded", seed)
			}
		}
		if d.object(wrapped("PodList", listOf(pod, pod))) == nil {
			t.Errorf("the list of seed %d is not decoded, want it decoded", seed)
		}
	}
	for _, kind := range []string{"ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"} {
		if got, _, ok := envelope.Event(eventOf(t, kind, &corev1.Pod{})); !ok || string(got) != kind {
			t.Errorf("%s event is not decoded, want it decoded", kind)
		}
	}
}
