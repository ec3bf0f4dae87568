// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/watchtest"
)

// wantVerified fails unless the pods were last verified at a time, or never if that is zero.
func (e *testEnv) wantVerified(at time.Time) {
	e.t.Helper()
	if got := e.source.Status().LastVerification; !got.Equal(at) {
		e.t.Errorf("LastVerification = %v, want %v", got, at)
	}
}

// Without the option nothing is verified, whatever is listed.
func TestLastVerificationWithoutTheOption(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		env := newEnv(t, newSource)
		env.start()
		env.server.Compact()
		env.server.Strike(watchtest.Cut())
		time.Sleep(time.Hour)
		env.wantVerified(time.Time{})
	})
}

// A list counts when it arrives, and a verification when its answer has been compared. After Stop
// the time stays, and the next Start begins anew.
func TestLastVerification(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		env := newEnv(t, newSource)
		env.create("1")
		var asked atomic.Pointer[time.Time]
		env.server.Inject(watchtest.Fault{If: func(r watchtest.Request) bool {
			if now := time.Now(); isVerification(r) {
				asked.Store(&now)
			}
			return isVerification(r)
		}, Do: watchtest.Delay(3 * time.Second)})
		began := time.Now()
		env.start(watchsource.WithVerification(verifyEvery))
		env.wantVerified(began)
		for range 3 {
			last := env.source.Status().LastVerification
			for deadline := last.Add(2 * noticed); env.source.Status().LastVerification.Equal(last) && time.Now().Before(deadline); {
				time.Sleep(time.Second)
			}
			at := asked.Load()
			if at == nil {
				t.Fatal("nothing was verified")
			}
			env.wantVerified(at.Add(3 * time.Second))
		}
		last := env.source.Status().LastVerification
		env.source.Stop()
		time.Sleep(time.Minute)
		env.wantVerified(last)
		start(t, env.source, "app")
		env.wantVerified(time.Now())
	})
}

// A verification that is refused, not answered, or interrupted does not count. The next one does.
func TestLastVerificationAfterFailures(t *testing.T) {
	for name, do := range map[string]watchtest.Effect{
		"forbidden":    watchtest.Answer(apierrors.NewForbidden(corev1.Resource("pods"), "", errors.New("no role"))),
		"refused":      watchtest.Refuse(),
		"not answered": watchtest.Hang(),
		"interrupted":  watchtest.Delay(50 * time.Second),
	} {
		eachCaseInBubble(t, name, func(t *testing.T, newSource modeltest.NewSource) {
			env := newEnv(t, newSource)
			env.create("1")
			began := time.Now()
			env.start(watchsource.WithVerification(verifyEvery))
			lift := env.server.Inject(watchtest.Fault{If: isVerification, Do: do})
			for range 120 {
				if name == "interrupted" {
					env.server.Strike(watchtest.Cut())
				}
				time.Sleep(30 * time.Second)
			}
			if n := len(verifications(env.server)); n < 10 {
				t.Fatalf("%d verifications in an hour, want one each five minutes", n)
			}
			env.wantVerified(began)
			lift()
			time.Sleep(noticed + time.Minute)
			if at := env.source.Status().LastVerification; time.Since(at) > noticed+time.Minute {
				t.Errorf("LastVerification = %v, want after the fault was lifted", at)
			}
		})
	}
}

// A verification that finds a lost event does not count. The list that repairs the view does.
func TestLastVerificationAfterALoss(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		env := newEnv(t, newSource)
		podsBeforeLosses(env.server)
		began := time.Now()
		env.start(watchsource.WithVerification(verifyEvery))
		refused := watchtest.Answer(apierrors.NewForbidden(corev1.Resource("pods"), "", errors.New("no role")))
		lift := env.server.Inject(watchtest.Fault{
			If: func(r watchtest.Request) bool { return !isVerification(r) && r.Verb != watchtest.Watch }, Do: refused,
		})
		lose(env.server, 1, deleteFirst)
		time.Sleep(noticed + time.Minute)
		if err := env.source.Status().Err; err == nil || !strings.Contains(err.Error(), "no role") {
			t.Fatalf("Status.Err = %v, want that the list is refused", err)
		}
		env.wantVerified(began)
		lift()
		for range 600_000 {
			if time.Sleep(time.Millisecond); env.source.Status().Relists > 0 {
				break
			}
		}
		if age := time.Since(env.source.Status().LastVerification); age > 2*time.Millisecond {
			t.Errorf("verified %v ago, want with the list", age)
		}
		env.wantEqualToList()
	})
}

// Of several namespaces the one counts that was verified least recently.
func TestLastVerificationOfNamespaces(t *testing.T) {
	inBubble(t, "", func(t *testing.T) {
		env := newEnv(t, watchsource.NewWatchSnapshotSource)
		began := time.Now()
		env.start(watchsource.WithVerification(verifyEvery), watchsource.WithNamespaces("jobs", "other", "third"))
		env.wantVerified(began)
		lift := env.server.Inject(watchtest.Fault{
			If: func(r watchtest.Request) bool { return isVerification(r) && r.Namespace == "other" }, Do: watchtest.Refuse(),
		})
		time.Sleep(time.Hour)
		env.wantVerified(began)
		lift()
		time.Sleep(2 * noticed)
		if at := env.source.Status().LastVerification; time.Since(at) > noticed {
			t.Errorf("LastVerification = %v, want that of all namespaces", at)
		}
	})
}

// The status of a SharedWatch has the time too.
func TestLastVerificationOfASharedWatch(t *testing.T) {
	inBubble(t, "", func(t *testing.T) {
		server := watchtest.NewServer()
		shared := watchsource.NewSharedWatch(server.Client(), watchsource.WithVerification(verifyEvery))
		source := shared.Source(watchsource.NewStore())
		began := time.Now()
		start(t, source, "app")
		defer source.Stop()
		if at := shared.Status().LastVerification; !at.Equal(began) {
			t.Errorf("LastVerification = %v, want %v", at, began)
		}
		time.Sleep(noticed)
		at := shared.Status().LastVerification
		if at.Before(began.Add(verifyEvery)) || !at.Equal(source.Status().LastVerification) {
			t.Errorf("LastVerification = %v and %v, want that of a verification", at, source.Status().LastVerification)
		}
	})
}
