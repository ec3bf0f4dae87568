// SPDX-License-Identifier: Apache-2.0

package podtest

import (
	"encoding/json"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// A filled pod is the same after it was encoded. Otherwise a test with it would compare two
// encodings of different pods.
func TestFilledPodsAreEncoded(t *testing.T) {
	for seed := range uint64(100) {
		pod := Filled(seed)
		encoded, err := pod.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		decoded := new(corev1.Pod)
		if err := decoded.Unmarshal(encoded); err != nil || !Equal(decoded, pod) {
			t.Errorf("seed %d: another pod after protobuf, error %v, want the same", seed, err)
		}
		pod = FilledForJSON(seed)
		if encoded, err = json.Marshal(pod); err != nil {
			t.Fatal(err)
		}
		decoded = new(corev1.Pod)
		if err := json.Unmarshal(encoded, decoded); err != nil || !Equal(decoded, pod) {
			t.Errorf("seed %d: another pod after JSON, error %v, want the same", seed, err)
		}
	}
}
