// SPDX-License-Identifier: Apache-2.0

package watchtest_test

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/executorpods/watchsource/watchtest"
)

func list(t *testing.T, client kubernetes.Interface, opts metav1.ListOptions) *corev1.PodList {
	t.Helper()
	list, err := client.CoreV1().Pods("").List(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// The pods that the server returns to a test equal the pods that its clients decode.
func TestListEqualsServerList(t *testing.T) {
	inBoth(t, func(t *testing.T, client func(*watchtest.Server) kubernetes.Interface) {
		srv := watchtest.NewServer()
		pod := executor("a")
		pod.Annotations = map[string]string{}
		pod.Finalizers = []string{}
		pod.Status.StartTime = &metav1.Time{Time: time.Now().Add(time.Nanosecond)}
		created := srv.Create(pod)
		got := list(t, client(srv), metav1.ListOptions{})
		if got.ResourceVersion != srv.ResourceVersion() {
			t.Errorf("version = %s, want %s", got.ResourceVersion, srv.ResourceVersion())
		}
		if want := srv.List(""); !reflect.DeepEqual(got.Items, want) {
			t.Errorf("list:\n got %v\nwant %v", got.Items, want)
		}
		if !reflect.DeepEqual(*created, got.Items[0]) {
			t.Errorf("created:\n got %v\nwant %v", *created, got.Items[0])
		}
	})
}

func TestListSelectorsAndOrder(t *testing.T) {
	srv := watchtest.NewServer()
	for _, name := range []string{"b", "c", "a"} {
		srv.Create(executor(name))
	}
	other := executor("d")
	other.Labels["app"], other.Namespace, other.Spec.NodeName = "two", "a", "node-2"
	srv.Create(other)
	for _, test := range []struct {
		namespace string
		opts      metav1.ListOptions
		want      []string
	}{
		{want: []string{"d", "a", "b", "c"}},
		{namespace: "default", want: []string{"a", "b", "c"}},
		{namespace: "none"},
		{opts: metav1.ListOptions{LabelSelector: "app in (two)"}, want: []string{"d"}},
		{opts: metav1.ListOptions{LabelSelector: "app=one", FieldSelector: "metadata.name!=b"}, want: []string{"a", "c"}},
		{opts: metav1.ListOptions{FieldSelector: "spec.nodeName=node-2"}, want: []string{"d"}},
		{opts: metav1.ListOptions{FieldSelector: "status.phase=Running,metadata.namespace=a"}, want: []string{"d"}},
	} {
		got, err := srv.Client().CoreV1().Pods(test.namespace).List(t.Context(), test.opts)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(names(got.Items), test.want) {
			t.Errorf("%q %+v: got %v, want %v", test.namespace, test.opts, names(got.Items), test.want)
		}
	}
	if got := names(srv.List("app=two")); !slices.Equal(got, []string{"d"}) {
		t.Errorf("Server.List = %v, want [d]", got)
	}
}

func TestListBadRequests(t *testing.T) {
	srv := watchtest.NewServer()
	for _, opts := range []metav1.ListOptions{
		{LabelSelector: "app in ("},
		{FieldSelector: "spec.priority=1"},
		{ResourceVersion: "many"},
		{Continue: "none"},
	} {
		if _, err := srv.Client().CoreV1().Pods("").List(t.Context(), opts); !apierrors.IsBadRequest(err) {
			t.Errorf("%+v: err = %v, want BadRequest", opts, err)
		}
	}
	_, err := srv.Client().CoreV1().Pods("").List(t.Context(), metav1.ListOptions{ResourceVersionMatch: metav1.ResourceVersionMatchExact})
	if !apierrors.IsInvalid(err) {
		t.Errorf("a match without a version: err = %v, want Invalid", err)
	}
}

func TestListVersions(t *testing.T) {
	srv := watchtest.NewServer()
	srv.Create(executor("a")) // 99991
	srv.Create(executor("b")) // 99992
	srv.Delete("default", "a")
	exact, notOlder := metav1.ResourceVersionMatchExact, metav1.ResourceVersionMatchNotOlderThan
	for _, test := range []struct {
		opts    metav1.ListOptions
		version string
		want    []string
	}{
		{opts: metav1.ListOptions{ResourceVersion: "0"}, version: "99993", want: []string{"b"}},
		{opts: metav1.ListOptions{ResourceVersion: "0", Limit: 1}, version: "99993", want: []string{"b"}},
		{opts: metav1.ListOptions{ResourceVersion: "99991"}, version: "99993", want: []string{"b"}},
		{opts: metav1.ListOptions{ResourceVersion: "99991", ResourceVersionMatch: notOlder}, version: "99993", want: []string{"b"}},
		{opts: metav1.ListOptions{ResourceVersion: "99991", ResourceVersionMatch: exact}, version: "99991", want: []string{"a"}},
		{opts: metav1.ListOptions{ResourceVersion: "99992", ResourceVersionMatch: exact}, version: "99992", want: []string{"a", "b"}},
		{opts: metav1.ListOptions{ResourceVersion: "99990", ResourceVersionMatch: exact}, version: "99990", want: nil},
		{opts: metav1.ListOptions{ResourceVersion: "99992", Limit: 5}, version: "99992", want: []string{"a", "b"}}, // exact, for compatibility
	} {
		got := list(t, srv.Client(), test.opts)
		if got.ResourceVersion != test.version || !slices.Equal(names(got.Items), test.want) {
			t.Errorf("%+v: got %v at %s, want %v at %s", test.opts, names(got.Items), got.ResourceVersion, test.want, test.version)
		}
	}

	srv.Compact()
	_, err := srv.Client().CoreV1().Pods("").List(t.Context(), metav1.ListOptions{ResourceVersion: "99992", ResourceVersionMatch: exact})
	if !apierrors.IsResourceExpired(err) {
		t.Errorf("an exact list of a compacted version: err = %v, want Expired", err)
	}
}

// client-go retries this answer ten times, with a second between attempts, and then gives
// up.
func TestListFromFutureVersion(t *testing.T) {
	inBoth(t, func(t *testing.T, client func(*watchtest.Server) kubernetes.Interface) {
		srv := watchtest.NewServer()
		_, err := client(srv).CoreV1().Pods("").List(t.Context(), metav1.ListOptions{ResourceVersion: "99999"})
		if !apierrors.IsTimeout(err) || !apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge) {
			t.Errorf("err = %v, want Timeout because of ResourceVersionTooLarge", err)
		}
	})
}

func TestListPages(t *testing.T) {
	inBoth(t, func(t *testing.T, client func(*watchtest.Server) kubernetes.Interface) {
		srv := watchtest.NewServer()
		for i := range 5 {
			srv.Create(executor(fmt.Sprint("pod-", i)))
		}
		first := list(t, client(srv), metav1.ListOptions{Limit: 2})
		if got := first.RemainingItemCount; got == nil || *got != 3 {
			t.Errorf("remaining = %v, want 3", got)
		}
		// The rest of the list has the version of the first page.
		srv.Delete("default", "pod-2")
		srv.Create(executor("pod-25"))
		srv.Update("default", "pod-3", func(pod *corev1.Pod) { pod.Status.Phase = corev1.PodFailed })
		second := list(t, client(srv), metav1.ListOptions{Limit: 2, Continue: first.Continue})
		third := list(t, client(srv), metav1.ListOptions{Limit: 2, Continue: second.Continue})
		got := slices.Concat(names(first.Items), names(second.Items), names(third.Items))
		if want := []string{"pod-0", "pod-1", "pod-2", "pod-3", "pod-4"}; !slices.Equal(got, want) {
			t.Errorf("pods = %v, want %v", got, want)
		}
		if phase := second.Items[1].Status.Phase; phase != corev1.PodRunning {
			t.Errorf("phase = %s, want Running, without the later change", phase)
		}
		if third.Continue != "" || third.ResourceVersion != first.ResourceVersion {
			t.Errorf("last page: continue %q, version %s, want none, %s", third.Continue, third.ResourceVersion, first.ResourceVersion)
		}
	})
}

func TestListContinueExpires(t *testing.T) {
	srv := watchtest.NewServer()
	for i := range 3 {
		srv.Create(executor(fmt.Sprint("pod-", i)))
	}
	first := list(t, srv.Client(), metav1.ListOptions{Limit: 1})
	srv.Delete("default", "pod-1")
	srv.Compact()
	_, err := srv.Client().CoreV1().Pods("").List(t.Context(), metav1.ListOptions{Limit: 1, Continue: first.Continue})
	if !apierrors.IsResourceExpired(err) {
		t.Fatalf("err = %v, want Expired", err)
	}
	// The error has a token to continue the list without consistency.
	token := err.(apierrors.APIStatus).Status().Continue
	rest := list(t, srv.Client(), metav1.ListOptions{Limit: 1, Continue: token})
	if got := names(rest.Items); !slices.Equal(got, []string{"pod-2"}) || rest.ResourceVersion != srv.ResourceVersion() {
		t.Errorf("rest = %v at %s, want [pod-2] at %s", got, rest.ResourceVersion, srv.ResourceVersion())
	}
}

func TestListPagesOfSelection(t *testing.T) {
	srv := watchtest.NewServer()
	for i := range 6 {
		pod := executor(fmt.Sprint("pod-", i))
		pod.Labels["even"] = fmt.Sprint(i%2 == 0)
		srv.Create(pod)
	}
	first := list(t, srv.Client(), metav1.ListOptions{Limit: 2, LabelSelector: "even=true"})
	if first.RemainingItemCount != nil {
		t.Error("a selection has a count of remaining items, want none")
	}
	rest := list(t, srv.Client(), metav1.ListOptions{Limit: 2, LabelSelector: "even=true", Continue: first.Continue})
	got := slices.Concat(names(first.Items), names(rest.Items))
	if want := []string{"pod-0", "pod-2", "pod-4"}; !slices.Equal(got, want) || rest.Continue != "" {
		t.Errorf("pods = %v, want %v", got, want)
	}
}
