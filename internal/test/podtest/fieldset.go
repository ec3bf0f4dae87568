// SPDX-License-Identifier: Apache-2.0

package podtest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// listKeys are the fields that identify the elements of a list. Managed fields have an entry
// for each element of these lists, and one for any other list.
var listKeys = map[string][]string{
	"containers": {"name"}, "initContainers": {"name"}, "env": {"name"}, "volumes": {"name"}, "imagePullSecrets": {"name"},
	"volumeMounts": {"mountPath"}, "ports": {"containerPort", "protocol"}, "ownerReferences": {"uid"},
	"conditions": {"type"}, "podIPs": {"ip"},
}

// atomic are the objects that managed fields do not look into.
var atomic = map[string]bool{
	"nodeSelector": true, "fieldRef": true, "configMapKeyRef": true, "secretKeyRef": true, "nodeAffinity": true,
}

// fieldSet returns the managed fields of the program that created a pod, as the API server
// writes them.
func fieldSet(pod *corev1.Pod) string {
	object := unstructured(pod)
	metadata := object["metadata"].(map[string]any)
	for _, set := range []string{"name", "namespace", "uid", "creationTimestamp"} {
		delete(metadata, set) // the API server sets them
	}
	return fieldsOfObject(map[string]any{"metadata": metadata, "spec": object["spec"]}, false)
}

// statusFieldSet returns the managed fields of the kubelet.
func statusFieldSet(pod *corev1.Pod) string {
	return fieldsOfObject(map[string]any{"status": unstructured(&corev1.Pod{Status: pod.Status})["status"]}, false)
}

func unstructured(pod *corev1.Pod) map[string]any {
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(pod)
	if err != nil {
		panic(fmt.Sprintf("convert a pod: %v", err))
	}
	return object
}

func fieldsOfObject(object map[string]any, dot bool) string {
	var b strings.Builder
	writeObject(&b, object, dot)
	return b.String()
}

func writeObject(b *strings.Builder, object map[string]any, dot bool) {
	b.WriteByte('{')
	if dot {
		b.WriteString(`".":{}`)
	}
	for i, name := range slices.Sorted(maps.Keys(object)) {
		if dot || i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Quote("f:" + name))
		b.WriteByte(':')
		writeValue(b, name, object[name])
	}
	b.WriteByte('}')
}

func writeValue(b *strings.Builder, name string, value any) {
	switch value := value.(type) {
	case map[string]any:
		if len(value) > 0 && !atomic[name] {
			writeObject(b, value, name != "metadata" && name != "spec" && name != "status")
			return
		}
	case []any:
		if keys := listKeys[name]; keys != nil {
			writeList(b, value, keys)
			return
		}
	}
	b.WriteString("{}")
}

func writeList(b *strings.Builder, list []any, keys []string) {
	b.WriteString(`{".":{}`)
	for _, element := range list {
		object := element.(map[string]any)
		key := map[string]any{}
		for _, k := range keys {
			key[k] = object[k]
		}
		encoded, err := json.Marshal(key)
		if err != nil {
			panic(fmt.Sprintf("encode the key of an element: %v", err))
		}
		b.WriteByte(',')
		b.WriteString(strconv.Quote("k:" + string(encoded)))
		b.WriteByte(':')
		writeObject(b, object, true)
	}
	b.WriteByte('}')
}

func managedBy(manager, subresource string, at metav1.Time, fields string) metav1.ManagedFieldsEntry {
	entry := fieldsOf(manager, subresource, fields)
	entry.Time = &at
	return entry
}
