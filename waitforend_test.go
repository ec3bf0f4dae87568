// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/internal/test/podtest"
	"github.com/executorpods/watchsource/watchtest"
)

// An endWait is a call of WaitForEnd, for a Store or for one owner of a StoreBy.
type endWait func(ctx context.Context, pod, createdVersion string) (watchsource.Executor, error)

// An endStore is a store with that call.
type endStore struct {
	watchsource.SnapshotsStore
	wait endWait
}

// eachEndStore runs a test in a bubble for a Store and for a StoreBy.
func eachEndStore(t *testing.T, test func(t *testing.T, store endStore)) {
	synctestRun := func(name string, newStore func() endStore) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, newStore()) })
		})
	}
	synctestRun("Store", func() endStore {
		s := watchsource.NewStore()
		return endStore{s, s.WaitForEnd}
	})
	synctestRun("StoreBy", func() endStore {
		s := watchsource.NewStoreBy(byJob)
		return endStore{s, func(ctx context.Context, pod, version string) (watchsource.Executor, error) {
			return s.WaitForEnd(ctx, "a", pod, version)
		}}
	})
}

// spell spells the result of a call out.
func spell(e watchsource.Executor, err error) string {
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%s %v %d", e.Name, e.State, e.ExitCode)
}

func failedWith(code int32) func(*corev1.Pod) {
	return container(executorContainer, ended(code, "Error"))
}

// of1 returns a state of exec-1 that runs.
func of1(at string, options ...func(*corev1.Pod)) *corev1.Pod {
	return pod("1", append([]func(*corev1.Pod){ofJob("a"), uid("u1"), version(at), phase(corev1.PodRunning)}, options...)...)
}

var endWaits = []struct {
	name string
	// before and after call the store before and after WaitForEnd is called.
	before, after func(watchsource.SnapshotsStore)
	pod           string
	created       string
	want          string
}{
	{
		name:   "ended before",
		before: func(s watchsource.SnapshotsStore) { s.UpdatePod(of1("5", failedWith(3))) },
		want:   "exec-1 Failed 3",
	},
	{
		name:   "ended after",
		before: func(s watchsource.SnapshotsStore) { s.UpdatePod(of1("4")) },
		after:  func(s watchsource.SnapshotsStore) { s.UpdatePod(of1("5", failedWith(3))) },
		want:   "exec-1 Failed 3",
	},
	{
		name: "ended and left before",
		before: func(s watchsource.SnapshotsStore) {
			s.UpdatePod(of1("5", failedWith(3)))
			s.DeletePod(of1("6", failedWith(3)))
		},
		want: "exec-1 Failed 3",
	},
	{
		name: "ended as it left before, in one event",
		before: func(s watchsource.SnapshotsStore) {
			s.UpdatePod(of1("4"))
			s.DeletePod(of1("6", failedWith(3)))
		},
		want: "exec-1 Failed 3",
	},
	{
		name: "came, ended and left after",
		after: func(s watchsource.SnapshotsStore) {
			s.UpdatePod(of1("4"))
			s.UpdatePod(of1("5", failedWith(3)))
			s.DeletePod(of1("6", failedWith(3)))
		},
		want: "exec-1 Failed 3",
	},
	{
		name:  "came and ended in a list after",
		after: func(s watchsource.SnapshotsStore) { s.ReplaceSnapshot([]*corev1.Pod{of1("5", failedWith(3))}) },
		want:  "exec-1 Failed 3",
	},
	{
		name:   "left without an end before",
		before: func(s watchsource.SnapshotsStore) { s.UpdatePod(of1("4")); s.DeletePod(of1("6")) },
		want:   "exec-1 Deleted -1",
	},
	{
		name:   "missing in a list after",
		before: func(s watchsource.SnapshotsStore) { s.UpdatePod(of1("4")) },
		after:  func(s watchsource.SnapshotsStore) { s.ReplaceSnapshot(nil) },
		want:   "exec-1 Deleted -1",
	},
	{
		name: "an earlier pod of the name ended and left before",
		before: func(s watchsource.SnapshotsStore) {
			s.UpdatePod(of1("2", failedWith(1), uid("old")))
			s.DeletePod(of1("3", failedWith(1), uid("old")))
		},
		created: "4",
		after:   func(s watchsource.SnapshotsStore) { s.UpdatePod(of1("5", failedWith(3))) },
		want:    "exec-1 Failed 3",
	},
	{
		name:    "an earlier pod of the name is still there, ended",
		before:  func(s watchsource.SnapshotsStore) { s.UpdatePod(of1("2", failedWith(1), uid("old"))) },
		created: "4",
		after: func(s watchsource.SnapshotsStore) {
			s.DeletePod(of1("3", failedWith(1), uid("old")))
			s.UpdatePod(of1("5", failedWith(3)))
		},
		want: "exec-1 Failed 3",
	},
	{
		name: "the pod of another namespace",
		before: func(s watchsource.SnapshotsStore) {
			s.UpdatePod(of1("2", failedWith(1), podtest.Named("other", "exec-1"), uid("other")))
		},
		pod:   podtest.Namespace + "/exec-1",
		after: func(s watchsource.SnapshotsStore) { s.UpdatePod(of1("5", failedWith(3))) },
		want:  "exec-1 Failed 3",
	},
	{
		name:   "the first of two runs",
		before: func(s watchsource.SnapshotsStore) { s.UpdatePod(of1("2")) },
		after: func(s watchsource.SnapshotsStore) {
			s.UpdatePod(of1("5", failedWith(3)))
			s.UpdatePod(of1("6"))
			s.UpdatePod(of1("7", failedWith(4)))
		},
		want: "exec-1 Failed 3",
	},
}

// The end of a pod is found whether it comes before the call, with it or after it, and whether or
// not the pod is still there.
func TestWaitForEnd(t *testing.T) {
	for _, test := range endWaits {
		t.Run(test.name, func(t *testing.T) {
			eachEndStore(t, func(t *testing.T, store endStore) {
				if test.before != nil {
					test.before(store)
				}
				name := test.pod
				if name == "" {
					name = "exec-1"
				}
				result := make(chan string, 1)
				go func() { result <- spell(store.wait(t.Context(), name, test.created)) }()
				synctest.Wait()
				if test.after != nil {
					if len(result) > 0 {
						t.Fatalf("returned %s before the end", <-result)
					}
					test.after(store)
				}
				synctest.Wait()
				select {
				case got := <-result:
					if got != test.want {
						t.Errorf("%s, want %s", got, test.want)
					}
				default:
					t.Errorf("still waits, want %s", test.want)
				}
			})
		})
	}
}

// A call that waits for a pod that is gone and not remembered fails and says so, as soon as the
// store has everything up to the creation.
func TestWaitForEndOfAPodThatIsGone(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		server, store := watchtest.NewServer(), watchsource.NewStore()
		created := server.Create(pod("1"))
		server.Delete(podtest.Namespace, "exec-1")
		startSource(t, newSource, server, store)
		_, err := store.WaitForEnd(t.Context(), "exec-1", created.ResourceVersion)
		if !apierrors.IsNotFound(err) || !strings.HasPrefix(err.Error(), `watchsource: wait for the end of pod "exec-1": pods "exec-1" not found: `) {
			t.Errorf("%v, want an error that says that the pod was not found", err)
		}
		// The creation of a pod that is not selected comes with a bookmark.
		other := server.Create(driver("app"))
		if _, err := store.WaitForEnd(t.Context(), other.Name, other.ResourceVersion); !apierrors.IsNotFound(err) {
			t.Errorf("%v, want an error that says that the pod was not found", err)
		}
	})
}

func TestWaitForEndFails(t *testing.T) {
	eachEndStore(t, func(t *testing.T, store endStore) {
		store.UpdatePod(pod("1", ofJob("a"), phase(corev1.PodRunning), version("3")))
		cause := errors.New("no time")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(cause) })
		if _, err := store.wait(ctx, "exec-1", "3"); !errors.Is(err, cause) || err.Error() != `watchsource: wait for the end of pod "exec-1": no time` {
			t.Errorf("%v, want the cause of the context", err)
		}
		if _, err := store.wait(t.Context(), "exec-1", "new"); err == nil || !strings.HasPrefix(err.Error(), `watchsource: wait for the end of pod "exec-1": `) {
			t.Errorf("%v, want an error about the version", err)
		}
		time.AfterFunc(time.Second, store.SnapshotsStore.(watchsource.StopObserver).ObserveStop)
		for _, name := range []string{"exec-1", "exec-2"} { // only the first exists
			if _, err := store.wait(t.Context(), name, ""); !errors.Is(err, watchsource.ErrStopped) {
				t.Errorf("%v, want ErrStopped", err)
			}
		}
	})
}

// A store remembers the executors that left in the last two minutes, and as many as it has had
// at a time.
func TestMemoryOfExecutorsThatHaveLeft(t *testing.T) {
	eachEndStore(t, func(t *testing.T, store endStore) {
		last := 0
		next := func() string { last++; return fmt.Sprint(last) }
		create := func(i int) string {
			created := next()
			store.UpdatePod(pod(fmt.Sprint(i), ofJob("a"), version(created)))
			return created
		}
		remove := func(i int) {
			store.DeletePod(pod(fmt.Sprint(i), ofJob("a"), version(next()), failedWith(int32(i))))
		}
		created := map[int]string{}
		for i := range 300 { // 200 at a time
			created[i] = create(i)
			if i >= 200 {
				remove(i - 200)
			}
		}
		for i := 100; i < 300; i++ {
			remove(i)
		}
		observe := store.SnapshotsStore.(watchsource.ResourceVersionObserver).ObserveResourceVersion
		observe(next())
		for i := 150; i < 300; i++ {
			if e, err := store.wait(t.Context(), fmt.Sprintf("exec-%d", i), created[i]); err != nil || e.ExitCode != int32(i) {
				t.Fatalf("exit code %d, %v of executor %d, want its end", e.ExitCode, err, i)
			}
		}
		if _, err := store.wait(t.Context(), "exec-10", created[10]); !apierrors.IsNotFound(err) {
			t.Errorf("%v for the oldest, want it forgotten", err)
		}
		time.Sleep(121 * time.Second)
		observe(next()) // a bookmark
		if _, err := store.wait(t.Context(), "exec-299", created[299]); !apierrors.IsNotFound(err) {
			t.Errorf("%v for the last after two minutes, want it forgotten", err)
		}
	})
}

// With client-go's fake clientset pods have no versions.
func TestWaitForEndOnAFake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, store := fake.NewClientset(), watchsource.NewStore()
		source := watchsource.NewWatchSnapshotSource(store, client)
		start(t, source, "app")
		defer source.Stop()
		time.AfterFunc(time.Second, func() {
			create(t, client, pod("1"))
			modify(t, client, pod("1", phase(corev1.PodRunning), failedWith(3)))
			remove(t, client, pod("1"))
		})
		if got := spell(store.WaitForEnd(t.Context(), "exec-1", "")); got != "exec-1 Failed 3" {
			t.Errorf("%s, want exec-1 Failed 3", got)
		}
	})
}

// The executors that had left before another application was started are forgotten.
func TestWaitForEndAfterAnotherStart(t *testing.T) {
	eachEndStore(t, func(t *testing.T, store endStore) {
		store.UpdatePod(pod("1", ofJob("a"), failedWith(3)))
		store.SnapshotsStore.(watchsource.StopObserver).ObserveStop()
		store.ReplaceSnapshot(nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := store.wait(ctx, "exec-1", ""); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want no end of the application before", err)
		}
	})
}

// A pod that has left and come back has not ended. A call whose context is over returns an end that
// the store knows.
func TestWaitForEndOfAPodThatCameBack(t *testing.T) {
	eachEndStore(t, func(t *testing.T, store endStore) {
		running := func(v string, more ...func(*corev1.Pod)) *corev1.Pod {
			return pod("1", append(more, ofJob("a"), uid("1"), phase(corev1.PodRunning), version(v))...)
		}
		store.UpdatePod(running("3"))
		store.DeletePod(running("4"))
		store.UpdatePod(running("5"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		results := make(chan string, 2)
		for _, created := range []string{"", "3"} {
			go func() { results <- created + ": " + spell(store.wait(ctx, "exec-1", created)) }()
		}
		synctest.Wait()
		if len(results) > 0 {
			t.Errorf("%q while the pod runs, want its end", <-results)
		}
		store.UpdatePod(running("6", failedWith(3)))
		synctest.Wait()
		for len(results) > 0 {
			if got := <-results; !strings.HasSuffix(got, ": exec-1 Failed 3") {
				t.Errorf("%q, want exec-1 Failed 3", got)
			}
		}
		cancel()
		for range 100 {
			if got := spell(store.wait(ctx, "exec-1", "3")); got != "exec-1 Failed 3" {
				t.Fatalf("%s for a context that is over, want exec-1 Failed 3", got)
			}
		}
	})
}

// A pod that has left is not mistaken for a younger one of its name.
func TestWaitForEndBesideANamesake(t *testing.T) {
	eachEndStore(t, func(t *testing.T, store endStore) {
		store.UpdatePod(pod("1", ofJob("a"), uid("1"), version("3")))
		store.DeletePod(pod("1", ofJob("a"), uid("1"), failedWith(3), version("4")))
		store.UpdatePod(pod("1", ofJob("a"), uid("2"), phase(corev1.PodRunning), version("5")))
		if got := spell(store.wait(t.Context(), "exec-1", "3")); got != "exec-1 Failed 3" {
			t.Errorf("%s, want exec-1 Failed 3", got)
		}
	})
}

// A server that was restored from a backup counts its versions again: an end of the time before is of
// another pod.
func TestWaitForEndAfterARestore(t *testing.T) {
	eachEndStore(t, func(t *testing.T, store endStore) {
		observe := store.SnapshotsStore.(watchsource.ResourceVersionObserver).ObserveResourceVersion
		store.UpdatePod(pod("1", ofJob("a"), uid("1"), version("80")))
		store.DeletePod(pod("1", ofJob("a"), uid("1"), failedWith(3), version("90")))
		observe("90")
		store.ReplaceSnapshot(nil)
		observe("40")
		store.UpdatePod(pod("1", ofJob("a"), uid("2"), version("50")))
		time.AfterFunc(time.Second, func() { store.UpdatePod(pod("1", ofJob("a"), uid("2"), failedWith(4), version("60"))) })
		if got := spell(store.wait(t.Context(), "exec-1", "50")); got != "exec-1 Failed 4" {
			t.Errorf("%s, want exec-1 Failed 4", got)
		}
	})
}
