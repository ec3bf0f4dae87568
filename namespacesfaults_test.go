// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/watchtest"
)

// Troubles of one namespace of several.

// noRole is what kube-apiserver answers without a right in a namespace.
func noRole(namespace string) watchtest.Effect {
	return watchtest.Answer(apierrors.NewForbidden(podsResource.GroupResource(), "", fmt.Errorf(
		`User "spark" cannot list resource "pods" in API group "" in the namespace %q`, namespace)))
}

// namespaceStarts are the troubles of a namespace in which Start fails, and the words of the error.
var namespaceStarts = map[string]struct {
	fault watchtest.Fault
	is    func(error) bool
	says  []string
	took  time.Duration
}{
	"no right": {
		fault: watchtest.Fault{Do: noRole("b")}, is: apierrors.IsForbidden,
		says: []string{`watch pods in namespace "b": pods is forbidden`, `with a Role in namespace "b"`},
	},
	"no right to watch": {
		fault: watchtest.Fault{On: watches, Do: noRole("b")}, is: apierrors.IsForbidden,
		says: []string{`watch pods in namespace "b": pods is forbidden`, `with a Role in namespace "b"`},
	},
	"lists hang": {
		fault: watchtest.Fault{Do: watchtest.Hang()}, is: apierrors.IsTimeout,
		says: []string{"no complete view within 30s", `pods in namespace "b": no answer`}, took: 30 * time.Second,
	},
	"watches hang": {
		fault: watchtest.Fault{On: watches, Do: watchtest.Hang()}, is: apierrors.IsTimeout,
		says: []string{`watch pods in namespace "b": no answer`}, took: 30 * time.Second,
	},
	"too many requests": {
		fault: watchtest.Fault{Do: watchtest.Answer(apierrors.NewTooManyRequests("busy", 1))}, is: apierrors.IsTooManyRequests,
		says: []string{`in namespace "b": busy`}, took: 30 * time.Second,
	},
}

// Start fails if one namespace cannot be watched, with an error that names it and what to do. A right
// that is missing ends it at once. The store was not called, nothing runs, and a later Start works.
func TestNamespacesFailedStart(t *testing.T) {
	for name, test := range namespaceStarts {
		inBubble(t, name, func(t *testing.T) {
			env := newNamespacesEnv(t)
			env.create("a", "1")
			lift := env.inject("b", test.fault)
			user := new(recordingStore)
			source := watchsource.NewWatchSnapshotSource(user, env.server.Client(), watchsource.WithNamespaces("a", "b", "c"))
			began := time.Now()
			err := source.Start("app")
			if took := time.Since(began); took != test.took {
				t.Errorf("Start took %v, want %v", took, test.took)
			}
			startError{is: test.is, says: test.says, not: []string{`"a"`, `"c"`}}.check(t, err)
			synctest.Wait()
			if calls, streams := user.all(), env.server.Streams(); len(calls) > 0 || len(streams) > 0 {
				t.Errorf("calls %q of the store and %d streams after a failed Start, want none", calls, len(streams))
			}
			if got := source.Status(); got.Phase != watchsource.Stopped {
				t.Errorf("phase %v, want Stopped", got.Phase)
			}
			lift()
			start(t, source, "app")
			source.Stop()
			if got := user.all(); len(got) != 1 || got[0] != "replace exec-a-1" {
				t.Errorf("the store received %q, want the list", got)
			}
		})
	}
}

// A namespace that is late delays the others, and loses nothing of them: their events of the
// meantime follow the list.
func TestNamespacesLateAtStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		env := newNamespacesEnv(t)
		env.create("a", "1")
		env.create("b", "1")
		lift := env.inject("b", watchtest.Fault{Do: watchtest.Answer(apierrors.NewTooManyRequests("busy", 1))})
		user := new(recordingStore)
		source := watchsource.NewWatchSnapshotSource(user, env.server.Client(),
			watchsource.WithNamespaces("a", "b", "c"), watchsource.WithStartTimeout(time.Hour))
		done := make(chan error)
		go func() { done <- source.Start("app") }()
		time.Sleep(10 * time.Minute)
		env.create("a", "2")
		env.delete("a", "1")
		env.create("b", "2")
		synctest.Wait()
		if got, phase := user.all(), source.Status().Phase; len(got) > 0 || phase != watchsource.Starting {
			t.Errorf("the store received %q in phase %v before all namespaces were listed, want nothing in Starting", got, phase)
		}
		lift()
		must(t, <-done)
		time.Sleep(time.Minute)
		source.Stop()
		got := strings.Join(user.all(), ", ")
		if want := "replace exec-a-1 exec-b-1 exec-b-2, update exec-a-2, delete exec-a-1"; got != want {
			t.Errorf("the store received %q, want %q", got, want)
		}
	})
}

// Stop ends a Start that waits for a namespace.
func TestNamespacesStopDuringStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		env := newNamespacesEnv(t)
		env.inject("b", watchtest.Fault{Do: watchtest.Hang()})
		user := new(recordingStore)
		source := watchsource.NewWatchSnapshotSource(user, env.server.Client(), watchsource.WithNamespaces("a", "b"))
		done := make(chan error)
		go func() { done <- source.Start("app") }()
		time.Sleep(time.Second)
		source.Stop()
		if err := <-done; !errors.Is(err, watchsource.ErrStopped) {
			t.Errorf("Start = %v, want ErrStopped", err)
		}
		synctest.Wait()
		if calls, streams := user.all(), env.server.Streams(); len(calls) > 0 || len(streams) > 0 {
			t.Errorf("calls %q of the store and %d streams, want none", calls, len(streams))
		}
	})
}

// The client loses its right in one namespace, as when its Role or the namespace is deleted. The others
// go on, Status and Healthy name the namespace, and the source recovers with the right.
func TestNamespacesLoseARight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		env := newNamespacesEnv(t)
		for _, namespace := range []string{"a", "b", "c"} {
			env.create(namespace, "1")
		}
		env.start()
		time.Sleep(time.Minute)
		lift := env.inject("b", watchtest.Fault{Do: noRole("b")})
		env.strike("b", watchtest.Cut())
		time.Sleep(10 * time.Second)
		env.strike("a", watchtest.Reset()) // its error must not hide that of b
		synctest.Wait()
		if err := env.source.Status().Err; !apierrors.IsForbidden(err) {
			t.Errorf("the error is %v after another one in a, want that of b, which is retrying", err)
		}
		env.create("a", "2")
		env.create("b", "2")
		env.delete("c", "1")
		time.Sleep(10 * time.Second)
		env.want("a-1 a-2 b-1")
		got := env.source.Status()
		if got.Phase != watchsource.Retrying || !apierrors.IsForbidden(got.Err) || !strings.Contains(got.Err.Error(), `Role in namespace "b"`) {
			t.Errorf("status %+v, want Retrying and an error that names b", got)
		}
		if err := env.source.Healthy(3 * time.Minute); err != nil {
			t.Errorf("Healthy = %v after 20 seconds, want nil", err)
		}
		time.Sleep(4 * time.Minute)
		err := env.source.Healthy(3 * time.Minute)
		const says = `watchsource: nothing heard from the API server about namespace "b" for 5m`
		if err == nil || !strings.HasPrefix(err.Error(), says) || !apierrors.IsForbidden(err) {
			t.Errorf("Healthy = %v, want %q", err, says)
		}
		lift()
		time.Sleep(20 * time.Second)
		env.want("a-1 a-2 b-1 b-2")
		if got, err := env.source.Status(), env.source.Healthy(3*time.Minute); got.Phase != watchsource.Watching || err != nil || got.Relists != 0 {
			t.Errorf("phase %v, Healthy %v, %d relists with the right, want Watching, nil and 0", got.Phase, err, got.Relists)
		}
	})
}

// A namespace is deleted while it is watched: its pods end and go, and then the client has no right
// any more. The store sees them leave, once.
func TestNamespacesDeleted(t *testing.T) {
	for _, rightsFirst := range []bool{false, true} {
		inBubble(t, fmt.Sprint("the right goes first: ", rightsFirst), func(t *testing.T) {
			env := newNamespacesEnv(t)
			env.create("a", "1")
			env.create("b", "1")
			env.create("b", "2")
			env.start()
			seen := countChanges(t, env.store)
			lift := func() {}
			removeRole := func() {
				lift = env.inject("b", watchtest.Fault{Do: noRole("b")})
				env.strike("b", watchtest.Cut())
				time.Sleep(10 * time.Second)
			}
			if rightsFirst {
				removeRole()
			}
			env.server.Update("b", "exec-b-1", phase(corev1.PodFailed))
			env.delete("b", "1")
			env.delete("b", "2")
			env.server.Compact()
			if rightsFirst {
				env.want("a-1 b-1 b-2") // nothing says that they are gone
			} else {
				removeRole()
				env.want("a-1")
			}
			env.create("a", "2")
			time.Sleep(10 * time.Minute)
			lift() // the namespace is there again
			env.create("b", "1")
			time.Sleep(time.Minute)
			env.want("a-1 a-2 b-1")
			if got := fmt.Sprint(seen.deleted); got != "map[exec-b-1:1 exec-b-2:1]" {
				t.Errorf("a reader is shown the deletions %s, want one of exec-b-1 and exec-b-2 each", got)
			}
			if got := env.source.Status(); got.Phase != watchsource.Watching {
				t.Errorf("phase %v, want Watching", got.Phase)
			}
		})
	}
}

// One silent watch makes the source unhealthy, however much the others hear, and a quiet one does not.
func TestNamespacesHealthy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		env := newNamespacesEnv(t)
		env.start()
		every(t, time.Second, func() { env.server.Advance(1) })
		time.Sleep(time.Hour)
		if err := env.source.Healthy(3 * time.Minute); err != nil {
			t.Fatalf("Healthy = %v in a quiet cluster, want nil", err)
		}
		env.inject("c", watchtest.Fault{Do: watchtest.Hang()})
		env.strike("c", watchtest.Silence())
		time.Sleep(4 * time.Minute)
		err := env.source.Healthy(3 * time.Minute)
		if err == nil || !strings.Contains(err.Error(), `about namespace "c"`) {
			t.Errorf("Healthy = %v, want an error that names c", err)
		}
		if got := env.source.Status().LastContact; time.Since(got) < 3*time.Minute {
			t.Errorf("last contact %v ago, want that of c", time.Since(got))
		}
	})
}
