// SPDX-License-Identifier: Apache-2.0

package watchtest_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/executorpods/watchsource/watchtest"
)

// inBothNamespaced runs a test with the pods of one namespace.
func inBothNamespaced(t *testing.T, test func(t *testing.T, srv *watchtest.Server, pods typedcorev1.PodInterface)) {
	t.Helper()
	inBoth(t, func(t *testing.T, client func(*watchtest.Server) kubernetes.Interface) {
		srv := watchtest.NewServer()
		test(t, srv, client(srv).CoreV1().Pods("default"))
	})
}

func TestClientCreate(t *testing.T) {
	inBothNamespaced(t, func(t *testing.T, srv *watchtest.Server, pods typedcorev1.PodInterface) {
		got, err := pods.Create(t.Context(), executor("a"), metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got.UID == "" || got.ResourceVersion != "99991" || !got.CreationTimestamp.Time.Equal(time.Now()) {
			t.Errorf("metadata = %+v, want a UID, version 99991 and the present time", got.ObjectMeta)
		}
		if got.Status.Phase != corev1.PodPending {
			t.Errorf("phase = %s, want Pending", got.Status.Phase)
		}
		if grace := got.Spec.TerminationGracePeriodSeconds; grace == nil || *grace != 30 {
			t.Errorf("grace = %v, want 30", grace)
		}
		if _, err := pods.Create(t.Context(), executor("a"), metav1.CreateOptions{}); !apierrors.IsAlreadyExists(err) {
			t.Errorf("again: err = %v, want AlreadyExists", err)
		}
		if same, err := pods.Get(t.Context(), "a", metav1.GetOptions{}); err != nil || same.UID != got.UID {
			t.Errorf("Get = %v, %v", same, err)
		}
		if _, err := pods.Get(t.Context(), "b", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			t.Errorf("Get of another: err = %v, want NotFound", err)
		}
	})
}

func TestClientCreateGenerateName(t *testing.T) {
	inBothNamespaced(t, func(t *testing.T, srv *watchtest.Server, pods typedcorev1.PodInterface) {
		for range 2 {
			pod := executor("")
			pod.GenerateName = "exec-"
			if _, err := pods.Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		got := names(srv.List(""))
		if len(got) != 2 || got[0] == got[1] || !strings.HasPrefix(got[0], "exec-") {
			t.Errorf("names = %q, want two different ones that begin with exec-", got)
		}
	})
}

func TestClientCreateInvalid(t *testing.T) {
	inBothNamespaced(t, func(t *testing.T, srv *watchtest.Server, pods typedcorev1.PodInterface) {
		if _, err := pods.Create(t.Context(), executor(""), metav1.CreateOptions{}); !apierrors.IsInvalid(err) {
			t.Errorf("without a name: err = %v, want Invalid", err)
		}
		elsewhere := executor("a")
		elsewhere.Namespace = "elsewhere"
		if _, err := pods.Create(t.Context(), elsewhere, metav1.CreateOptions{}); !apierrors.IsBadRequest(err) {
			t.Errorf("of another namespace: err = %v, want BadRequest", err)
		}
	})
}

func TestClientUpdate(t *testing.T) {
	inBothNamespaced(t, func(t *testing.T, srv *watchtest.Server, pods typedcorev1.PodInterface) {
		pod := srv.Create(executor("a"))
		pod.Labels["new"] = "yes"
		pod.Status.Phase = corev1.PodFailed // ignored without the status subresource
		got, err := pods.Update(t.Context(), pod, metav1.UpdateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got.Labels["new"] != "yes" || got.Status.Phase != corev1.PodRunning || got.ResourceVersion != "99992" {
			t.Errorf("updated: %v %s %s, want new=yes Running 99992", got.Labels, got.Status.Phase, got.ResourceVersion)
		}
		if _, err := pods.Update(t.Context(), pod, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
			t.Errorf("of an old version: err = %v, want Conflict", err)
		}
		other := got.DeepCopy()
		other.UID = "another"
		if _, err := pods.Update(t.Context(), other, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
			t.Errorf("of another UID: err = %v, want Conflict", err)
		}
		if _, err := pods.Update(t.Context(), executor("b"), metav1.UpdateOptions{}); !apierrors.IsNotFound(err) {
			t.Errorf("of no pod: err = %v, want NotFound", err)
		}
	})
}

func TestClientUpdateStatus(t *testing.T) {
	inBothNamespaced(t, func(t *testing.T, srv *watchtest.Server, pods typedcorev1.PodInterface) {
		pod := srv.Create(executor("a"))
		pod.Status.Phase = corev1.PodSucceeded
		pod.Spec.NodeName = "node-2"
		got, err := pods.UpdateStatus(t.Context(), pod, metav1.UpdateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got.Status.Phase != corev1.PodSucceeded || got.Spec.NodeName != "node-1" {
			t.Errorf("updated: %s on %s, want Succeeded on node-1", got.Status.Phase, got.Spec.NodeName)
		}
	})
}

// An update that changes nothing is not a write.
func TestClientUpdateOfNothing(t *testing.T) {
	inBothNamespaced(t, func(t *testing.T, srv *watchtest.Server, pods typedcorev1.PodInterface) {
		pod := srv.Create(executor("a"))
		got, err := pods.Update(t.Context(), pod, metav1.UpdateOptions{})
		if err != nil || got.ResourceVersion != pod.ResourceVersion || srv.ResourceVersion() != pod.ResourceVersion {
			t.Errorf("version %s, server %s, was %s: %v", got.ResourceVersion, srv.ResourceVersion(), pod.ResourceVersion, err)
		}
	})
}

func TestClientPatch(t *testing.T) {
	inBothNamespaced(t, func(t *testing.T, srv *watchtest.Server, pods typedcorev1.PodInterface) {
		srv.Create(executor("a"))
		for _, kind := range []types.PatchType{types.MergePatchType, types.StrategicMergePatchType} {
			patch := []byte(`{"metadata":{"labels":{"app":null,"kind":"` + string(kind)[12:17] + `"}}}`)
			got, err := pods.Patch(t.Context(), "a", kind, patch, metav1.PatchOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Labels) != 1 || got.Labels["kind"] != string(kind)[12:17] || len(got.Spec.Containers) != 1 {
				t.Errorf("%s: labels = %v, want one with the kind of the patch", kind, got.Labels)
			}
		}
		status := []byte(`{"status":{"phase":"Failed"}}`)
		got, err := pods.Patch(t.Context(), "a", types.MergePatchType, status, metav1.PatchOptions{}, "status")
		if err != nil || got.Status.Phase != corev1.PodFailed {
			t.Errorf("of the status: %v, %v", got.Status.Phase, err)
		}
		_, err = pods.Patch(t.Context(), "a", types.JSONPatchType, []byte("[]"), metav1.PatchOptions{})
		if !apierrors.IsUnsupportedMediaType(err) {
			t.Errorf("of another type: err = %v, want UnsupportedMediaType", err)
		}
	})
}

// A pod on a node stays for its grace period, until its node deletes it without grace.
func TestClientDeleteGracefully(t *testing.T) {
	inBothNamespaced(t, func(t *testing.T, srv *watchtest.Server, pods typedcorev1.PodInterface) {
		pod := executor("a")
		pod.Spec.TerminationGracePeriodSeconds = new(int64(30))
		srv.Create(pod)
		w := openWatch(t, srv.Client(), metav1.ListOptions{ResourceVersion: srv.ResourceVersion()})
		if err := pods.Delete(t.Context(), "a", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		expect(t, w, "MODIFIED a 99992")
		marked := srv.List("")[0]
		if due := marked.DeletionTimestamp; due == nil || !due.Time.Equal(time.Now().Add(30*time.Second)) {
			t.Errorf("deletionTimestamp = %v, want 30 seconds from now", due)
		}
		// The same or a longer grace period writes nothing. A shorter one does, and 0
		// removes the pod.
		for _, grace := range []*int64{nil, new(int64(40)), new(int64(10)), new(int64(0))} {
			if err := pods.Delete(t.Context(), "a", metav1.DeleteOptions{GracePeriodSeconds: grace}); err != nil {
				t.Fatal(err)
			}
		}
		expect(t, w, "MODIFIED a 99993", "DELETED a 99994")
		if err := pods.Delete(t.Context(), "a", metav1.DeleteOptions{}); !apierrors.IsNotFound(err) {
			t.Errorf("err = %v, want NotFound", err)
		}
	})
}

func TestClientDeleteAtOnce(t *testing.T) {
	inBothNamespaced(t, func(t *testing.T, srv *watchtest.Server, pods typedcorev1.PodInterface) {
		ended, unbound := executor("ended"), executor("unbound")
		for _, pod := range []*corev1.Pod{ended, unbound} {
			pod.Spec.TerminationGracePeriodSeconds = new(int64(30))
		}
		ended.Status.Phase = corev1.PodSucceeded
		unbound.Spec.NodeName = ""
		for _, pod := range []*corev1.Pod{ended, unbound, executor("without-grace")} {
			srv.Create(pod)
			if err := pods.Delete(t.Context(), pod.Name, metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		if left := names(srv.List("")); left != nil {
			t.Errorf("pods left: %q, want none", left)
		}
	})
}

func TestClientDeletePreconditions(t *testing.T) {
	inBothNamespaced(t, func(t *testing.T, srv *watchtest.Server, pods typedcorev1.PodInterface) {
		pod := srv.Create(executor("a"))
		for _, wrong := range []*metav1.Preconditions{
			{UID: new(types.UID("another"))},
			{UID: &pod.UID, ResourceVersion: new("1")},
		} {
			if err := pods.Delete(t.Context(), "a", metav1.DeleteOptions{Preconditions: wrong}); !apierrors.IsConflict(err) {
				t.Errorf("err = %v, want Conflict", err)
			}
		}
		if err := pods.Delete(t.Context(), "a", *metav1.NewPreconditionDeleteOptions(string(pod.UID))); err != nil {
			t.Error(err)
		}
	})
}

func TestFinalizers(t *testing.T) {
	inBothNamespaced(t, func(t *testing.T, srv *watchtest.Server, pods typedcorev1.PodInterface) {
		pod := executor("a")
		pod.Finalizers = []string{"example.com/shuffle-data"}
		srv.Create(pod)
		w := openWatch(t, srv.Client(), metav1.ListOptions{ResourceVersion: srv.ResourceVersion()})
		for range 2 {
			if err := pods.Delete(t.Context(), "a", metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}); err != nil {
				t.Fatal(err)
			}
		}
		expect(t, w, "MODIFIED a 99992")
		patch := []byte(`{"metadata":{"finalizers":null}}`)
		if _, err := pods.Patch(t.Context(), "a", types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
		expect(t, w, "MODIFIED a 99993", "DELETED a 99994")
	})
}

func TestClientDeleteCollection(t *testing.T) {
	inBothNamespaced(t, func(t *testing.T, srv *watchtest.Server, pods typedcorev1.PodInterface) {
		srv.Create(executor("a"))
		srv.Create(executor("b"))
		other := executor("c")
		other.Labels["app"] = "two"
		srv.Create(other)
		err := pods.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "app=one"})
		if got := names(srv.List("")); err != nil || !slices.Equal(got, []string{"c"}) {
			t.Errorf("pods = %q, %v", got, err)
		}
	})
}

func TestOtherResourcesAreNotFound(t *testing.T) {
	client := watchtest.NewServer().Client()
	if _, err := client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("nodes: err = %v, want NotFound", err)
	}
	if _, err := client.BatchV1().Jobs("default").Get(t.Context(), "a", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("jobs: err = %v, want NotFound", err)
	}
}

// Changes to a pod that a test or client holds do not change the server.
func TestPodsAreCopies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := watchtest.NewServer()
		mine := executor("a")
		created := srv.Create(mine)
		updated := srv.Update("default", "a", func(pod *corev1.Pod) { pod.Labels["x"] = "1" })
		listed := srv.List("")
		deleted := srv.Delete("default", "a")
		for _, pod := range []*corev1.Pod{mine, created, updated, &listed[0], deleted} {
			pod.Labels["app"] = "two"
		}
		w := openWatch(t, srv.Client(), metav1.ListOptions{ResourceVersion: "99990", LabelSelector: "app=one"})
		expect(t, w, "ADDED a 99991", "MODIFIED a 99992", "DELETED a 99993")
		if deleted.ResourceVersion != "99993" {
			t.Errorf("deleted at %s, want 99993", deleted.ResourceVersion)
		}
	})
}

func TestMisusePanics(t *testing.T) {
	for name, misuse := range map[string]func(*watchtest.Server){
		"create twice":           func(srv *watchtest.Server) { srv.Create(executor("a")) },
		"create without name":    func(srv *watchtest.Server) { srv.Create(executor("")) },
		"update what is not":     func(srv *watchtest.Server) { srv.Update("default", "b", func(*corev1.Pod) {}) },
		"delete what is not":     func(srv *watchtest.Server) { srv.Delete("elsewhere", "a") },
		"list with bad selector": func(srv *watchtest.Server) { srv.List("app in (") },
	} {
		t.Run(name, func(t *testing.T) {
			srv := watchtest.NewServer()
			srv.Create(executor("a"))
			defer func() {
				if r, _ := recover().(string); !strings.HasPrefix(r, "watchtest: ") {
					t.Errorf("panic = %q, want it to begin with watchtest:", r)
				}
				srv.ResourceVersion() // the lock is free
			}()
			misuse(srv)
		})
	}
}
