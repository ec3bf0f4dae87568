// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/executorpods/watchsource"
)

// newNamespaces makes n namespaces.
func newNamespaces(t *testing.T, client kubernetes.Interface, n int) []string {
	t.Helper()
	names := make([]string, n)
	for i := range names {
		names[i] = newNamespace(t, client)
	}
	return names
}

// viewEquals reports whether a snapshot has exactly the executors that the server lists in the namespaces.
func viewEquals(t *testing.T, client kubernetes.Interface, s watchsource.Snapshot, namespaces ...string) bool {
	t.Helper()
	n := 0
	for _, namespace := range namespaces {
		list, err := client.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{LabelSelector: executorSelector(appID)})
		if err != nil {
			t.Fatal(err)
		}
		versions := map[string]string{}
		for _, p := range list.Items {
			versions[p.Name] = p.ResourceVersion
		}
		for e := range s.All() {
			if e.Namespace == namespace && versions[e.Name] == e.ResourceVersion {
				n++
				delete(versions, e.Name)
			}
		}
		if len(versions) > 0 {
			return false
		}
	}
	return s.Len() == n
}

// A user with a Role in each of two namespaces and no ClusterRole watches both. A third namespace in
// which the user has no right ends Start with an error that names it. Then one namespace is deleted:
// its pods go, and its RoleBinding. The source sees the pods leave, reports the missing right, goes on with the
// other namespace, and recovers with the right.
func TestNamespacesWithRoles(t *testing.T) {
	client := admin(t)
	names := newNamespaces(t, client, 3)
	a, b, foreign := names[0], names[1], names[2]
	reader := newUser(t, "team-reader")
	reader.mayOnly(t, client, a, "list", "watch")
	reader.mayOnly(t, client, b, "list", "watch")
	create(t, client, executorPod(a, appID, 1), executorPod(a, appID, 2), executorPod(b, appID, 3), executorPod(foreign, appID, 4), driverPod(b, appID))
	wantForeignRefused(t, reader, a, b, foreign)

	p := newProxy(t)
	w := &consumer{name: "teams", app: appID, store: watchsource.NewStore()}
	w.source = watchsource.NewWatchSnapshotSource(w.store, newClient(t, p.through(reader.config)),
		watchsource.WithNamespaces(a, b), watchsource.WithVerification(5*time.Second))
	w.start(t)
	if s := w.store.Snapshot(); !s.Complete() || !viewEquals(t, client, s, a, b) || s.Len() != 3 {
		t.Errorf("%d executors after Start, want the 3 of two namespaces", s.Len())
	}
	create(t, client, executorPod(a, appID, 5), executorPod(b, appID, 6), executorPod(foreign, appID, 7))
	w.waitFor(t, "new pods of both", func(s watchsource.Snapshot) bool { return s.Len() == 5 })

	// The namespace controller deletes the pods, and with the namespace goes the RoleBinding.
	clearNamespace(t, client, b)
	left := w.waitFor(t, "the pods of the deleted namespace leave", func(s watchsource.Snapshot) bool { return s.Len() == 3 })
	if !viewEquals(t, client, left, a, b) {
		t.Error("the view differs from the lists of both namespaces, want it equal")
	}
	reader.mayOnly(t, client, b)
	p.drop() // the rights of an open watch are not checked again
	away := waitForStatus(t, w.source, "retrying", func(s watchsource.Status) bool {
		return s.Phase == watchsource.Retrying && apierrors.IsForbidden(s.Err)
	})
	if text := away.Err.Error(); !strings.Contains(text, `with a Role in namespace "`+b+`"`) {
		t.Errorf("the error of the status is %q, want a Role in %s in it", text, b)
	}
	remove(t, client, byForce, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: a, Name: executorPod(a, appID, 1).Name}})
	w.waitFor(t, "a deletion in the other namespace", func(s watchsource.Snapshot) bool { return s.Len() == 2 })

	create(t, client, executorPod(b, appID, 8))
	reader.mayOnly(t, client, b, "list", "watch")
	waitForStatus(t, w.source, "watching", func(s watchsource.Status) bool { return s.Phase == watchsource.Watching })
	back := w.waitFor(t, "the pod of the namespace that is back", func(s watchsource.Snapshot) bool { return s.Len() == 3 })
	if !viewEquals(t, client, back, a, b) {
		t.Error("the view differs from the lists of both namespaces, want it equal")
	}
	if got := w.source.Status(); got.Lists != 2 || got.Relists != 0 {
		t.Errorf("%d lists and %d relists, want 2 and 0", got.Lists, got.Relists)
	}
	keepWriting(t, client, a)
	for i := range 5 {
		wantVersionWithin(t, w, create(t, client, executorPod([]string{a, b}[i%2], appID, 9+i))[0].ResourceVersion)
	}
	if got := w.source.Status(); got.Phase != watchsource.Watching || got.Relists != 0 {
		t.Errorf("phase %v and %d relists after the waits, want Watching and none", got.Phase, got.Relists)
	}
}

// wantForeignRefused fails unless a source with a namespace in which the user has no right does not
// start, and says which and what to do.
func wantForeignRefused(t *testing.T, reader user, namespaces ...string) {
	t.Helper()
	foreign := namespaces[len(namespaces)-1]
	source := watchsource.NewWatchSnapshotSource(watchsource.NewStore(), newClient(t, reader.config), watchsource.WithNamespaces(namespaces...))
	err := source.Start(appID)
	if err == nil || !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), `with a Role in namespace "`+foreign+`"`) {
		t.Errorf("Start = %v, want Forbidden and a Role in %s", err, foreign)
	}
	t.Logf("Start = %v", err)
}

// keepWriting writes objects that are no pods, as the leases of nodes and controllers are written in
// every cluster. kube-apiserver sends no bookmark to a new watch while nothing is written.
func keepWriting(t *testing.T, client kubernetes.Interface, namespace string) {
	go func() {
		for range time.Tick(500 * time.Millisecond) {
			object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "lease-"}}
			if _, err := client.CoreV1().ConfigMaps(namespace).Create(t.Context(), object, metav1.CreateOptions{}); err != nil {
				return // the test has ended
			}
		}
	}()
}

// wantVersionWithin fails unless the store reaches a version although nothing happens in the other
// namespace. The running watch of that one would learn the version by its next bookmark, within a minute.
func wantVersionWithin(t *testing.T, w *consumer, version string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	began := time.Now()
	if _, err := w.store.WaitForResourceVersion(ctx, version); err != nil {
		t.Error(err)
	}
	t.Logf("version %s after %v", version, time.Since(began).Round(time.Millisecond))
}
