// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/controller"
)

var errOthers = errors.New("passed on")

// others is a client whose reads fail, so that a test sees which requests were passed on.
type others struct{ client.Client }

func (others) Get(context.Context, client.ObjectKey, client.Object, ...client.GetOption) error {
	return errOthers
}

func (others) List(context.Context, client.ObjectList, ...client.ListOption) error {
	return errOthers
}

func (others) Create(context.Context, client.Object, ...client.CreateOption) error {
	return errOthers
}

func key(namespace, name string) client.ObjectKey {
	return client.ObjectKey{Namespace: namespace, Name: name}
}

func podMetadata() *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}}
}

func podUnstructured() *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Pod"}}
}

// reading runs a test with a reader over two pods of owner a and one of owner b.
func reading(t *testing.T, test func(env, client.Client)) {
	inBubble(t, func(e env) {
		e.pod("a", "a-0")
		e.pod("a", "a-1")
		e.pod("b", "b-0")
		e.start(e.Context())
		requests := len(e.server.Requests())
		test(e, e.watch.Client(others{}))
		if sent := len(e.server.Requests()) - requests; sent != 0 {
			e.Errorf("reading sent %d requests, want 0", sent)
		}
	})
}

func TestGetOfAPod(t *testing.T) {
	reading(t, func(e env, c client.Client) {
		for _, obj := range []client.Object{&corev1.Pod{}, podMetadata(), podUnstructured()} {
			must(e.T, c.Get(e.Context(), key("default", "a-1"), obj))
			if obj.GetName() != "a-1" || obj.GetLabels()[ownerLabel] != "a" || obj.GetResourceVersion() == "" {
				e.Errorf("a %T is %v, want a-1 of owner a with a version", obj, obj)
			}
			if kind := obj.GetObjectKind().GroupVersionKind().Kind; kind != "Pod" {
				e.Errorf("the kind of a %T is %q, want Pod", obj, kind)
			}
		}
		var pod corev1.Pod
		must(e.T, c.Get(e.Context(), key("default", "b-0"), &pod))
		if pod.Status.Phase != corev1.PodRunning {
			e.Errorf("the phase is %q, want Running", pod.Status.Phase)
		}
		pod.Labels[ownerLabel] = "changed"
		must(e.T, c.Get(e.Context(), key("default", "b-0"), &pod))
		if pod.Labels[ownerLabel] != "b" {
			e.Error("a change of a pod has changed the view")
		}
	})
}

// A pod that the view lacks is not found, as in a cache with a selector, and is not passed on: the
// manager's client would begin to watch all pods.
func TestGetOfAPodThatTheViewLacks(t *testing.T) {
	reading(t, func(e env, c client.Client) {
		for _, k := range []client.ObjectKey{key("default", "none"), key("other", "a-0")} {
			if err := c.Get(e.Context(), k, &corev1.Pod{}); !apierrors.IsNotFound(err) {
				e.Errorf("Get of %v: %v, want NotFound", k, err)
			}
		}
	})
}

func TestReaderPassesOtherKindsOn(t *testing.T) {
	reading(t, func(e env, c client.Client) {
		node := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Node"}}
		for _, obj := range []client.Object{&corev1.Service{}, node, &unstructured.Unstructured{}} {
			if err := c.Get(e.Context(), key("default", "x"), obj); err != errOthers {
				e.Errorf("Get of a %T: %v, want it passed on", obj, err)
			}
		}
		for _, list := range []client.ObjectList{&corev1.ServiceList{}, &metav1.PartialObjectMetadataList{}, &unstructured.UnstructuredList{}} {
			if err := c.List(e.Context(), list); err != errOthers {
				e.Errorf("List of a %T: %v, want it passed on", list, err)
			}
		}
		if err := c.Create(e.Context(), &corev1.Pod{}); err != errOthers {
			e.Errorf("Create of a pod: %v, want it passed on", err)
		}
	})
}

func TestListOfPods(t *testing.T) {
	tests := map[string]struct {
		options []client.ListOption
		want    []string
	}{
		"all":                  {nil, []string{"a-0", "a-1", "b-0"}},
		"namespace":            {[]client.ListOption{client.InNamespace("default")}, []string{"a-0", "a-1", "b-0"}},
		"another namespace":    {[]client.ListOption{client.InNamespace("other")}, nil},
		"label":                {[]client.ListOption{client.MatchingLabels{ownerLabel: "a"}}, []string{"a-0", "a-1"}},
		"label present":        {[]client.ListOption{client.HasLabels{ownerLabel, "app"}}, []string{"a-0", "a-1", "b-0"}},
		"label that is absent": {[]client.ListOption{client.HasLabels{"none"}}, nil},
		"empty field selector": {[]client.ListOption{client.MatchingFieldsSelector{Selector: fields.Everything()}}, []string{"a-0", "a-1", "b-0"}},
	}
	reading(t, func(e env, c client.Client) {
		for name, test := range tests {
			var list corev1.PodList
			must(e.T, c.List(e.Context(), &list, test.options...))
			var names []string
			for _, pod := range list.Items {
				names = append(names, pod.Name)
			}
			slices.Sort(names)
			want(e.T, name, names, test.want...)
		}
		var list corev1.PodList
		must(e.T, c.List(e.Context(), &list, client.Limit(2)))
		want(e.T, "pods with a limit", []int{len(list.Items)}, 2)
	})
}

func TestListOfMetadataAndUnstructured(t *testing.T) {
	reading(t, func(e env, c client.Client) {
		metadata := &metav1.PartialObjectMetadataList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"}}
		must(e.T, c.List(e.Context(), metadata, client.MatchingLabels{ownerLabel: "b"}))
		want(e.T, "metadata", []string{metadata.Items[0].Name, metadata.Items[0].Kind}, "b-0", "Pod")
		plain := &unstructured.UnstructuredList{Object: map[string]any{"apiVersion": "v1", "kind": "PodList"}}
		must(e.T, c.List(e.Context(), plain, client.MatchingLabels{ownerLabel: "b"}))
		want(e.T, "unstructured", []string{plain.Items[0].GetName(), plain.Items[0].GetKind()}, "b-0", "Pod")
	})
}

func TestListsThatTheViewCannotAnswer(t *testing.T) {
	reading(t, func(e env, c client.Client) {
		var list corev1.PodList
		wantError(e.T, c.List(e.Context(), &list, client.MatchingFields{"spec.nodeName": "node-1"}), `"spec.nodeName=node-1" is not supported`, "Watch.Snapshot")
		wantError(e.T, c.List(e.Context(), &list, client.Continue("token")), "continue is not supported")
	})
}

// Before the view is complete a pod is not missing.
func TestReadingBeforeTheStart(t *testing.T) {
	inBubble(t, func(e env) {
		c := e.watch.Client(others{})
		wantError(e.T, c.Get(e.Context(), key("default", "a-0"), &corev1.Pod{}), "not complete")
		wantError(e.T, c.List(e.Context(), &corev1.PodList{}), "not complete")
	})
}

func TestReadingWithoutPods(t *testing.T) {
	withOptions(t, controller.Options{Store: []watchsource.StoreOption{watchsource.WithoutPods()}}, func(e env) {
		e.pod("a", "a-0")
		e.start(e.Context())
		c := e.watch.Client(others{})
		if err := c.Get(e.Context(), key("default", "a-0"), &corev1.Pod{}); !errors.Is(err, watchsource.ErrNoPod) {
			e.Errorf("Get: %v, want ErrNoPod", err)
		}
		if err := c.List(e.Context(), &corev1.PodList{}); !errors.Is(err, watchsource.ErrNoPod) {
			e.Errorf("List: %v, want ErrNoPod", err)
		}
	})
}
