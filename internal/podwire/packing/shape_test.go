// SPDX-License-Identifier: Apache-2.0

package packing

import (
	"reflect"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The tags of the Go types describe all that is on the wire, but for the types that have code
// for it. Another client-go may have more of these, as 0.38 has FieldsV1.
func TestEveryFieldHasAShape(t *testing.T) {
	made := shapes{}
	made.of(reflect.TypeFor[corev1.PodSpec]())
	made.of(reflect.TypeFor[corev1.PodStatus]())
	made.of(reflect.TypeFor[metav1.ObjectMeta]())
	for message, shape := range made {
		switch message {
		case reflect.TypeFor[resource.Quantity](), reflect.TypeFor[metav1.FieldsV1]():
			if shape.unmarshal == nil && len(shape.fields) == 0 {
				t.Errorf("%v has no shape", message)
			}
			continue
		}
		for field := range message.Fields() {
			if field.Tag.Get("protobuf") == "" {
				t.Errorf("%v.%s has no tag, so damage in it is not found", message, field.Name)
			}
		}
	}
	if made[reflect.TypeFor[metav1.FieldsV1]()] == nil {
		t.Error("managed fields were not reached")
	}
}
