// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// An identity is the service account as which the watchers come, with its token
// in a file, like in a pod.
type identity struct {
	client    kubernetes.Interface // the administrator's
	namespace string
	file      string
	token     string
	secret    string // with which the token becomes invalid
}

const watcherName = "watcher"

func newIdentity(t *testing.T, client kubernetes.Interface, namespace string) *identity {
	t.Helper()
	i := &identity{client: client, namespace: namespace, file: filepath.Join(t.TempDir(), "token")}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: watcherName}}
	if _, err := client.CoreV1().ServiceAccounts(namespace).Create(t.Context(), account, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	role := &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Name: watcherName},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"list", "watch"}}},
	}
	if _, err := client.RbacV1().Roles(namespace).Create(t.Context(), role, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	i.allow(t)
	i.token, i.secret = i.newToken(t)
	i.write(t)
	return i
}

// config is that of a program in a pod of the service account.
func (i *identity) config(host string) *rest.Config {
	config := rest.AnonymousClientConfig(server.Config())
	config.BearerTokenFile = i.file
	config.Host = host
	return config
}

func (i *identity) allow(t *testing.T) {
	t.Helper()
	_, err := i.client.RbacV1().RoleBindings(i.namespace).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: watcherName},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: watcherName},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: watcherName, Namespace: i.namespace}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	i.awaitRight(t, true)
}

func (i *identity) forbid(t *testing.T) {
	t.Helper()
	if err := i.client.RbacV1().RoleBindings(i.namespace).Delete(t.Context(), watcherName, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	i.awaitRight(t, false)
}

// awaitRight polls, because nothing tells when the authorizer has read a role.
func (i *identity) awaitRight(t *testing.T, want bool) {
	t.Helper()
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User:               "system:serviceaccount:" + i.namespace + ":" + watcherName,
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: i.namespace, Verb: "watch", Resource: "pods"},
	}}
	await(t, "the right to watch to change", func(ctx context.Context) (bool, error) {
		got, err := i.client.AuthorizationV1().SubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		return err == nil && got.Status.Allowed == want, err
	})
}

// newToken asks for a token that lives as long as a secret.
func (i *identity) newToken(t *testing.T) (token, secret string) {
	t.Helper()
	bound, err := i.client.CoreV1().Secrets(i.namespace).Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "token-"},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		ExpirationSeconds: new(int64(24 * 60 * 60)),
		BoundObjectRef:    &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Secret", Name: bound.Name, UID: bound.UID},
	}}
	request, err = i.client.CoreV1().ServiceAccounts(i.namespace).CreateToken(t.Context(), watcherName, request, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return request.Status.Token, bound.Name
}

// write puts the token into the file as a kubelet does, in one step.
func (i *identity) write(t *testing.T) {
	t.Helper()
	next := i.file + ".next"
	if err := os.WriteFile(next, []byte(i.token), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, i.file); err != nil {
		t.Fatal(err)
	}
}

// revoke makes the token in the file invalid, and has the next one ready. The
// server remembers for some seconds that the old one was good.
func (i *identity) revoke(t *testing.T) {
	t.Helper()
	old, secret := i.token, i.secret
	i.token, i.secret = i.newToken(t)
	if err := i.client.CoreV1().Secrets(i.namespace).Delete(t.Context(), secret, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	review := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: old}}
	await(t, "the token to become invalid", func(ctx context.Context) (bool, error) {
		got, err := i.client.AuthenticationV1().TokenReviews().Create(ctx, review, metav1.CreateOptions{})
		return err == nil && !got.Status.Authenticated, err
	})
}

// await polls for what the server does in its own time.
func await(t *testing.T, what string, cond func(context.Context) (bool, error)) {
	t.Helper()
	if err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, limit, true, cond); err != nil {
		t.Fatalf("wait for %s: %v", what, err)
	}
}
