// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"slices"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// A user has only the rights that a test gives it.
type user struct {
	name   string
	config *rest.Config
}

func newUser(t *testing.T, name string) user {
	t.Helper()
	config, err := server.AddUser(name)
	if err != nil {
		t.Fatal(err)
	}
	return user{name, config}
}

// mayOnly gives the user verbs on the pods of a namespace, takes all others
// there away, and returns when the server has noticed.
func (u user) mayOnly(t *testing.T, client kubernetes.Interface, namespace string, verbs ...string) {
	t.Helper()
	roles, bindings := client.RbacV1().Roles(namespace), client.RbacV1().RoleBindings(namespace)
	meta := metav1.ObjectMeta{Name: u.name}
	_ = roles.Delete(t.Context(), u.name, metav1.DeleteOptions{})
	_ = bindings.Delete(t.Context(), u.name, metav1.DeleteOptions{})
	_, err := roles.Create(t.Context(), &rbacv1.Role{
		ObjectMeta: meta,
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: append(verbs, "none")}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = bindings.Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: meta,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: u.name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: u.name}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"list", "watch"} {
		u.awaitRight(t, client, namespace, verb, slices.Contains(verbs, verb))
	}
}

// awaitRight polls, because nothing tells when the authorizer has read a role.
func (u user) awaitRight(t *testing.T, client kubernetes.Interface, namespace, verb string, want bool) {
	t.Helper()
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User:               u.name,
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: verb, Resource: "pods"},
	}}
	err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		got, err := client.AuthorizationV1().SubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		return err == nil && got.Status.Allowed == want, err
	})
	if err != nil {
		t.Fatalf("wait until %s may %s: %t: %v", u.name, verb, want, err)
	}
}
