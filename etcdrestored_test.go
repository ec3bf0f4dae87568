// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/watchtest"
)

// reinitializing is what kube-apiserver answers while it reads its database again.
var reinitializing = apierrors.NewTooManyRequests("storage is (re)initializing", 1)

// etcdRefusals are the cases of TestEtcdRestored.
var etcdRefusals = map[string]struct {
	// refused has the requests that are refused for a second.
	refused watchtest.Verb
	// inside says that the streams end with the refusal.
	inside bool
}{
	"nothing is refused":               {},
	"a watch is refused":               {refused: watchtest.Watch},
	"lists are refused":                {refused: watchtest.List | watchtest.StreamingList},
	"everything is refused":            {refused: ^watchtest.Verb(0)},
	"the refusal is the last event":    {inside: true},
	"and a watch is refused after it":  {inside: true, refused: watchtest.Watch},
	"and everything is refused after":  {inside: true, refused: ^watchtest.Verb(0)},
	"a streaming list is refused once": {refused: watchtest.StreamingList},
}

// A database is put back under a running API server, as when the external database of k3s fails
// over to a replica that lags. All watches end in good order. Then requests may be refused for a
// moment, or the server may accept a watch from the version that it has lost at once.
func TestEtcdRestored(t *testing.T) {
	for name, test := range etcdRefusals {
		for _, idle := range []time.Duration{2 * time.Second, 30 * time.Second, 61 * time.Second, 4 * time.Minute} {
			eachCaseInBubble(t, fmt.Sprint(name, " after ", idle), func(t *testing.T, newSource modeltest.NewSource) {
				env := newEnv(t, newSource)
				env.create("1", phase(corev1.PodRunning))
				env.create("2", phase(corev1.PodRunning))
				env.start()
				ends := countEnds(t, env.store)
				restore := env.server.Backup()
				env.update("1", phase(corev1.PodSucceeded))
				for i := range 12 {
					env.server.Create(pod(fmt.Sprint("lost-", i)))
				}
				time.Sleep(idle)

				if test.refused != 0 {
					defer env.server.Inject(watchtest.Fault{On: test.refused, Times: 1, Do: watchtest.Answer(reinitializing)})()
				}
				if test.inside {
					env.server.Strike(watchtest.Answer(reinitializing))
				}
				env.server.Strike(watchtest.Cut())
				restore()
				time.Sleep(5 * time.Second)
				env.wantEqualToList()
				if got := env.source.Status(); got.Phase != watchsource.Watching {
					t.Errorf("phase %v, want Watching: %v", got.Phase, got.Err)
				}
				env.update("1", phase(corev1.PodSucceeded))
				env.update("2", phase(corev1.PodFailed))
				time.Sleep(time.Second)
				if got, want := ends(), "exec-1 Succeeded, exec-2 Failed"; got != want {
					t.Errorf("ends %q, want %q: each end once", got, want)
				}
			})
		}
	}
}

// While an application is busy its streams end soon after an event, whatever ends them.
func TestEtcdRestoredUnderABusyApplication(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		env := newEnv(t, newSource)
		env.create("1", phase(corev1.PodRunning))
		env.start()
		changeFor := func(seconds int) {
			for range seconds {
				time.Sleep(time.Second)
				env.update("1", func(*corev1.Pod) {})
			}
			time.Sleep(500 * time.Millisecond)
		}
		changeFor(30)
		env.server.Strike(watchtest.Reset())
		changeFor(90)
		restore := env.server.Backup()
		for i := range 12 {
			env.server.Create(pod(fmt.Sprint("lost-", i)))
		}
		time.Sleep(500 * time.Millisecond)
		env.server.Strike(watchtest.Cut())
		restore()
		time.Sleep(5 * time.Second)
		env.wantEqualToList()
	})
}

// countEnds reads the ends of a store until the test ends, and returns a function that joins
// those so far.
func countEnds(t *testing.T, store *watchsource.Store) func() string {
	var ends []string
	go func() {
		for batch := range store.Batches(t.Context(), 0) {
			for _, change := range batch.Changes {
				if change.Ended {
					ends = append(ends, fmt.Sprint(change.After.Name, " ", change.After.State))
				}
			}
		}
	}()
	return func() string {
		synctest.Wait()
		return strings.Join(ends, ", ")
	}
}
