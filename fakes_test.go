// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/internal/test/podtest"
)

// A fake is recognised in each form: no streaming list is asked for, Start takes no time, and
// a deletion between two watches is noticed.
func TestFakeInAWrapper(t *testing.T) {
	eachFake(t, func(t *testing.T, newSource modeltest.NewSource, form func(*fake.Clientset) kubernetes.Interface) {
		client := fake.NewClientset(pod("1"), pod("2"))
		watches := reactWithWatchers(client, func() watch.Interface { return watch.NewRaceFreeFake() })
		store := watchsource.NewStore()
		source := newSource(store, form(client))
		began := time.Now()
		start(t, source, "app")
		defer source.Stop()
		if took := time.Since(began); took > 0 {
			t.Errorf("Start took %v, want no time", took)
		}
		time.Sleep(10 * time.Second)
		remove(t, client, pod("1")) // which this watch does not show
		watches.last().Stop()
		time.Sleep(time.Second)
		wantNames(t, store, "exec-2=Pending")
		for _, action := range client.Actions() {
			if w, ok := action.(k8stesting.WatchActionImpl); ok && w.ListOptions.SendInitialEvents != nil {
				t.Error("a streaming list was asked for, want none")
			}
		}
		if got := source.Status(); got.Errors > 0 {
			t.Errorf("%d errors, the last %v, want none", got.Errors, got.Err)
		}
	})
}

// watchers are the watches that a fake has opened.
type watchers struct{ all []watch.Interface }

func (w *watchers) last() watch.Interface { return w.all[len(w.all)-1] }

// reactWithWatchers makes a fake open watches of the test's own.
func reactWithWatchers(client *fake.Clientset, open func() watch.Interface) *watchers {
	opened := new(watchers)
	client.PrependWatchReactor("pods", func(k8stesting.Action) (bool, watch.Interface, error) {
		opened.all = append(opened.all, open())
		return true, opened.last(), nil
	})
	return opened
}

// The watch of a fake is never given up, however long it is silent. The source is healthy
// meanwhile.
func TestFakeWatchCannotStall(t *testing.T) {
	eachFake(t, func(t *testing.T, newSource modeltest.NewSource, form func(*fake.Clientset) kubernetes.Interface) {
		for name, open := range map[string]func() watch.Interface{
			"FakeWatcher":         func() watch.Interface { return watch.NewFake() },
			"RaceFreeFakeWatcher": func() watch.Interface { return watch.NewRaceFreeFake() },
		} {
			client, log := fake.NewClientset(), new(logLines)
			watches := reactWithWatchers(client, open)
			store := watchsource.NewStore(watchsource.WithLogger(log.logger(0)))
			source := newSource(store, form(client), watchsource.WithLogger(log.logger(0)), watchsource.WithStallTimeout(5*time.Second))
			start(t, source, "app")
			events := watches.last().(interface {
				Add(runtime.Object)
				IsStopped() bool
			})
			events.Add(pod("1")) // which no list has
			time.Sleep(24 * time.Hour)
			wantNames(t, store, "exec-1=Pending")
			if events.IsStopped() {
				t.Fatalf("%s: the watch was stopped, want it open", name)
			}
			if err := source.Healthy(time.Second); err != nil {
				t.Errorf("%s: Healthy = %v, want nil", name, err)
			}
			events.Add(pod("2"))
			wantNames(t, store, "exec-1=Pending exec-2=Pending")
			if got := source.Status(); got.Lists != 1 || got.Stalls != 0 || got.Phase != watchsource.Watching || len(watches.all) != 1 {
				t.Errorf("%s: %d watches, status %+v, want one watch and one list", name, len(watches.all), got)
			}
			if lines := log.matching(); len(lines) > 0 {
				t.Errorf("%s: logged %q, want nothing", name, lines)
			}
			time.Sleep(time.Hour)
			source.Stop()
			if got := time.Since(source.Status().LastContact); got != 0 {
				t.Errorf("%s: the last contact was %v before Stop, want 0s", name, got)
			}
			time.Sleep(time.Hour)
			if got := time.Since(source.Status().LastContact); got != time.Hour {
				t.Errorf("%s: the last contact was %v ago an hour after Stop, want 1h", name, got)
			}
		}
	})
}

// A fake whose watch has ended is not in contact any more.
func TestFakeThatRefusesIsNotHealthy(t *testing.T) {
	eachFake(t, func(t *testing.T, newSource modeltest.NewSource, form func(*fake.Clientset) kubernetes.Interface) {
		client := fake.NewClientset(pod("1"))
		watches := reactWithWatchers(client, func() watch.Interface { return watch.NewFake() })
		store := watchsource.NewStore()
		source := newSource(store, form(client))
		start(t, source, "app")
		defer source.Stop()
		broken := errors.New("broken")
		client.PrependReactor("list", "pods", func(k8stesting.Action) (bool, runtime.Object, error) { return broken != nil, nil, broken })
		watches.last().Stop()
		time.Sleep(4 * time.Minute)
		if err := source.Healthy(3 * time.Minute); !errors.Is(err, broken) {
			t.Errorf("Healthy = %v, want the list's error", err)
		}
		wantNames(t, store, "exec-1=Pending") // a list that fails takes nothing from the view
		broken = nil
		create(t, client, pod("2"))
		time.Sleep(time.Minute)
		wantNames(t, store, "exec-1=Pending exec-2=Pending")
		if err := source.Healthy(3 * time.Minute); err != nil {
			t.Errorf("Healthy = %v after the lists work again, want nil", err)
		}
	})
}

// A test closes the watches of its fake: the view follows the fake's lists, the source makes
// no request in a tight loop, and an ended watch is not an error.
func TestFakeWatchThatCloses(t *testing.T) {
	eachFake(t, func(t *testing.T, newSource modeltest.NewSource, form func(*fake.Clientset) kubernetes.Interface) {
		for _, age := range []time.Duration{0, 10 * time.Millisecond, 5 * time.Second} {
			client := fake.NewClientset(pod("1"))
			watches := reactWithWatchers(client, func() watch.Interface {
				w := watch.NewRaceFreeFake()
				if age == 0 {
					w.Stop()
				} else {
					time.AfterFunc(age, w.Stop)
				}
				return w
			})
			store := watchsource.NewStore()
			source := newSource(store, form(client))
			start(t, source, "app")
			remove(t, client, pod("1"))
			create(t, client, pod("2"))
			time.Sleep(2 * time.Minute)
			wantNames(t, store, "exec-2=Pending")
			if n := len(watches.all); n > 60 {
				t.Errorf("age %v: %d watches in two minutes, want at most 60", age, n)
			}
			source.Stop()
			if got := source.Status(); got.Errors > 0 {
				t.Errorf("age %v: %d errors, the last %v, want none", age, got.Errors, got.Err)
			}
		}
	})
}

// The reactor of a fake returns neither a watch nor an error.
func TestFakeWithoutAWatch(t *testing.T) {
	eachFake(t, func(t *testing.T, newSource modeltest.NewSource, form func(*fake.Clientset) kubernetes.Interface) {
		client := fake.NewClientset(pod("1"))
		none := true
		client.PrependWatchReactor("pods", func(k8stesting.Action) (bool, watch.Interface, error) { return none, nil, nil })
		store := watchsource.NewStore()
		source := newSource(store, form(client))
		if err := source.Start("app"); err == nil || !strings.Contains(err.Error(), "neither a watch nor an error") {
			t.Errorf("Start = %v, want an error that says what the client returned", err)
		}
		none = false
		start(t, source, "app")
		defer source.Stop()
		wantNames(t, store, "exec-1=Pending")
	})
}

// Everything that happens between the list and the watch of a fake is seen, whether its watch
// begins with the changes or with nothing. Without a version its list says that it does not
// know of any.
func TestFakeChangesBetweenListAndWatch(t *testing.T) {
	eachFake(t, func(t *testing.T, newSource modeltest.NewSource, form func(*fake.Clientset) kubernetes.Interface) {
		for name, replays := range map[string]bool{"watch with changes": true, "watch without": false} {
			client := fake.NewClientset(pod("1"), pod("2"), pod("3"))
			if !replays {
				listWithoutVersion(client)
			}
			opened := 0
			client.PrependWatchReactor("pods", func(k8stesting.Action) (bool, watch.Interface, error) {
				opened++
				tracker := client.Tracker() // the client itself is locked
				must(t, errors.Join(
					tracker.Delete(podsResource, podtest.Namespace, pod(fmt.Sprint(opened)).Name),
					tracker.Update(podsResource, pod("3", phase(corev1.PodRunning)), podtest.Namespace),
					tracker.Create(podsResource, pod(fmt.Sprint(opened+3)), podtest.Namespace),
				))
				if replays {
					return false, nil, nil
				}
				return true, watch.NewRaceFreeFake(), nil
			})
			store := watchsource.NewStore()
			source := newSource(store, form(client))
			start(t, source, "app")
			synctest.Wait()
			if got, want := names(store.Snapshot()), "exec-2=Pending exec-3=Running exec-4=Pending"; got != want {
				t.Errorf("%s: snapshot %q, want %q", name, got, want)
			}
			source.Stop()
		}
	})
}

// The watch of the fake of client-go 0.38 repeats deletions too, and that of any fake shows one
// that comes between it and the second list. The pod is reported gone once.
func TestFakeDeletionIsReportedOnce(t *testing.T) {
	eachFake(t, func(t *testing.T, newSource modeltest.NewSource, form func(*fake.Clientset) kubernetes.Interface) {
		client := fake.NewClientset(pod("1"), pod("2"))
		first := true
		watches := reactWithWatchers(client, func() watch.Interface {
			w := watch.NewRaceFreeFake()
			if !first {
				must(t, client.Tracker().Delete(podsResource, podtest.Namespace, "exec-1"))
				w.Delete(pod("1"))
			}
			first = false
			return w
		})
		store := watchsource.NewStore()
		source := newSource(store, form(client))
		start(t, source, "app")
		var lines []string
		ctx, cancel := context.WithCancel(t.Context())
		var reading sync.WaitGroup
		reading.Go(func() {
			for batch := range store.Batches(ctx, 0) {
				lines = append(lines, changeLines(batch.Changes))
			}
		})
		synctest.Wait()
		watches.last().Stop()
		time.Sleep(time.Second)
		source.Stop()
		cancel()
		reading.Wait()
		shown := strings.Join(lines, ", ")
		if strings.Count(shown, "exec-1") != 2 || strings.Count(shown, "exec-1 Pending>Deleted") != 1 {
			t.Errorf("the reader was shown %q, want one arrival and one deletion of exec-1", lines)
		}
	})
}

// listWithoutVersion makes a fake list as that of client-go 0.35.
func listWithoutVersion(client *fake.Clientset) {
	client.PrependReactor("list", "pods", func(action k8stesting.Action) (bool, runtime.Object, error) {
		list, err := client.Tracker().List(podsResource, corev1.SchemeGroupVersion.WithKind("Pod"), action.GetNamespace())
		if err != nil {
			return true, nil, err
		}
		list.(*corev1.PodList).ResourceVersion = ""
		return true, list, nil
	})
}

// The versions of a fake's pods are those of the test, and its lists count on their own. So
// neither a pod is taken for older than the list, nor the list for older than a pod.
func TestFakeVersionsAreNotCompared(t *testing.T) {
	eachFake(t, func(t *testing.T, newSource modeltest.NewSource, form func(*fake.Clientset) kubernetes.Interface) {
		client, log := fake.NewClientset(), new(logLines)
		for id := range 5 {
			create(t, client, pod(fmt.Sprint(id), label(watchsource.LabelApp, "another")))
		}
		store := watchsource.NewStore()
		source := newSource(store, form(client), watchsource.WithLogger(log.logger(0)))
		start(t, source, "app")
		defer source.Stop()
		create(t, client, pod("7", version("1")))
		modify(t, client, pod("7", version("1"), phase(corev1.PodRunning)))
		create(t, client, pod("8", version("1")))
		wantNames(t, store, "exec-7=Running exec-8=Pending")
		if got := source.Status(); got.Lists != 1 || got.Errors != 0 {
			t.Errorf("%d lists, %d errors, the last %v, want one list and no error", got.Lists, got.Errors, got.Err)
		}
		if lines := log.matching(); len(lines) > 0 {
			t.Errorf("logged %q, want nothing", lines)
		}
	})
}

// A late source of a SharedWatch on a fake sees its application, however the versions of the
// pods, of the list and of other applications' pods compare.
func TestLateSourceOnAFake(t *testing.T) {
	for name, form := range fakeForms {
		for first, then := range map[string]string{"100": "1", "1": "1", "": "1", "2": ""} {
			for _, has := range []bool{false, true} { // a pod when the late source starts
				inBubble(t, fmt.Sprintf("%s/%q then %q, has a pod %v", name, first, then, has), func(t *testing.T) {
					client := fake.NewClientset()
					shared := watchsource.NewSharedWatch(form(client))
					early := shared.Source(watchsource.NewStore())
					start(t, early, "early")
					defer early.Stop()
					want := []string{"exec-2=Pending"}
					if has {
						create(t, client, pod("1", version(then)))
						want = []string{"exec-1=Pending", "exec-2=Pending"}
					}
					create(t, client, pod("0", label(watchsource.LabelApp, "early"), version(first)))
					synctest.Wait()
					store := watchsource.NewStore()
					late := shared.Source(store)
					start(t, late, "app")
					defer late.Stop()
					create(t, client, pod("2", version(then)))
					wantNames(t, store, strings.Join(want, " "))
				})
			}
		}
	}
}

// A wait for a version that a fake does not give says what to use instead.
func TestWaitForTheVersionOfAFake(t *testing.T) {
	eachFake(t, func(t *testing.T, newSource modeltest.NewSource, form func(*fake.Clientset) kubernetes.Interface) {
		client := fake.NewClientset()
		store := watchsource.NewStore()
		source := newSource(store, form(client))
		start(t, source, "app")
		defer source.Stop()
		created, err := client.CoreV1().Pods(podtest.Namespace).Create(t.Context(), pod("1"), metav1.CreateOptions{})
		must(t, err)
		_, err = store.WaitForResourceVersion(t.Context(), created.ResourceVersion)
		wantInvalidVersion(t, err, "fake clientset", "WaitFor", "watchtest")
		_, err = store.WaitForResourceVersion(t.Context(), "abc")
		wantInvalidVersion(t, err, `"abc"`)
		if strings.Contains(err.Error(), "fake") {
			t.Errorf("WaitForResourceVersion(abc) = %v, want no word on fakes", err)
		}
	})
}

func wantInvalidVersion(t *testing.T, err error, parts ...string) {
	t.Helper()
	if _, ok := errors.AsType[resourceversion.InvalidResourceVersion](err); !ok {
		t.Fatalf("%v, want an InvalidResourceVersion", err)
	}
	for _, part := range append(slices.Clone(parts), "watchsource: wait for resource version") {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error is %q, want %q in it", err, part)
		}
	}
}
