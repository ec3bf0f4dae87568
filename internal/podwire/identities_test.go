// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"bytes"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/executorpods/watchsource/internal/test/podtest"
)

// Identities are read from whole pods and from metadata. A list that is cut short is an error.
func TestReadIdentities(t *testing.T) {
	want := map[Identity]bool{}
	whole := &corev1.PodList{TypeMeta: metav1.TypeMeta{Kind: "PodList", APIVersion: "v1"}}
	partial := &metav1.PartialObjectMetadataList{TypeMeta: metav1.TypeMeta{Kind: "PartialObjectMetadataList", APIVersion: "meta.k8s.io/v1"}}
	whole.ListMeta = metav1.ListMeta{ResourceVersion: "77", Continue: "more"}
	partial.ListMeta = whole.ListMeta
	for i := range 3 {
		pod := podtest.Executor(i, i, true)
		want[Identity{Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, ResourceVersion: pod.ResourceVersion}] = true
		whole.Items = append(whole.Items, *pod)
		partial.Items = append(partial.Items, metav1.PartialObjectMetadata{ObjectMeta: pod.ObjectMeta})
	}
	info, _ := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), runtime.ContentTypeProtobuf)
	for _, object := range []runtime.Object{whole, partial} {
		var body bytes.Buffer
		if err := info.Serializer.Encode(object, &body); err != nil {
			t.Fatal(err)
		}
		kind, list, pods, err := ReadIdentities(body.Bytes())
		if err != nil || kind != object.GetObjectKind().GroupVersionKind().Kind || list.ResourceVersion != "77" || list.Continue != "more" || len(pods) != 3 {
			t.Fatalf("kind %q, %+v, %d pods, %v; want %T with 3 pods at version 77", kind, list, len(pods), err, object)
		}
		for _, pod := range pods {
			if !want[pod] {
				t.Errorf("%T: %+v, want one of %v", object, pod, want)
			}
		}
		for cut := range body.Len() {
			_, _, pods, err := ReadIdentities(body.Bytes()[:cut])
			if err == nil && len(pods) > 0 && cut < body.Len()-4 { // the last four bytes say nothing
				t.Fatalf("%T cut to %d bytes: %d pods without an error, want an error", object, cut, len(pods))
			}
		}
	}
}
