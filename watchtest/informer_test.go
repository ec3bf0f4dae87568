// SPDX-License-Identifier: Apache-2.0

package watchtest_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/executorpods/watchsource/watchtest"
)

// startInformer runs an informer until the test ends, and waits for its first sync. The sync
// takes fake time.
func startInformer(t *testing.T, client kubernetes.Interface) cache.SharedIndexInformer {
	t.Helper()
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0,
		informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = "app=one" }))
	informer := factory.Core().V1().Pods().Informer()
	ctx, cancel := context.WithCancel(t.Context())
	factory.Start(ctx.Done())
	t.Cleanup(func() {
		cancel()
		factory.Shutdown()
	})
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		t.Fatal("the informer has not synced, want it synced")
	}
	return informer
}

// wantSynced fails the test unless the informer holds the pods of the server.
func wantSynced(t *testing.T, srv *watchtest.Server, informer cache.SharedIndexInformer) {
	t.Helper()
	var held []corev1.Pod
	for _, object := range informer.GetStore().List() {
		held = append(held, *object.(*corev1.Pod))
	}
	slices.SortFunc(held, func(a, b corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	if want := srv.List("app=one"); !reflect.DeepEqual(held, want) {
		t.Errorf("the informer holds %q, want %q", names(held), names(want))
	}
}

func TestInformerSyncsByStreamingList(t *testing.T) {
	inBoth(t, func(t *testing.T, client func(*watchtest.Server) kubernetes.Interface) {
		srv := watchtest.NewServer()
		for i := range 20 {
			srv.Create(executor(fmt.Sprint("pod-", i)))
		}
		informer := startInformer(t, client(srv))
		wantSynced(t, srv, informer)
		if srv.Count(watchtest.List) != 0 || srv.Count(watchtest.StreamingList) != 1 {
			t.Errorf("requests %v, want a streaming list and no list", srv.Requests())
		}
	})
}

func TestInformerSyncsByList(t *testing.T) {
	inBoth(t, func(t *testing.T, client func(*watchtest.Server) kubernetes.Interface) {
		srv := watchtest.NewServer(watchtest.WithoutStreamingLists())
		for i := range 20 {
			srv.Create(executor(fmt.Sprint("pod-", i)))
		}
		informer := startInformer(t, client(srv))
		srv.Update("default", "pod-7", func(pod *corev1.Pod) { pod.Labels["app"] = "two" })
		synctest.Wait()
		wantSynced(t, srv, informer)
		if srv.Count(watchtest.List) != 1 || srv.Count(watchtest.Watch) != 1 {
			t.Errorf("requests %v, want a list and a watch", srv.Requests())
		}
	})
}

func TestInformerResumesAfterCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := watchtest.NewServer()
		srv.Create(executor("a"))
		informer := startInformer(t, srv.Client())
		for range 3 {
			time.Sleep(10 * time.Second)
			srv.Strike(watchtest.Cut())
			srv.Update("default", "a", func(*corev1.Pod) {})
		}
		time.Sleep(10 * time.Second)
		wantSynced(t, srv, informer)
		if srv.Count(watchtest.StreamingList) != 1 || srv.Count(watchtest.Watch) != 3 {
			t.Errorf("requests %v, want a streaming list and three watches", srv.Requests())
		}
	})
}

func TestInformerRelistsAfterCompaction(t *testing.T) {
	for _, opts := range [][]watchtest.Option{nil, {watchtest.WithExpiredAtConnect()}} {
		synctest.Test(t, func(t *testing.T) {
			srv := watchtest.NewServer(opts...)
			srv.Create(executor("a"))
			srv.Create(executor("b"))
			informer := startInformer(t, srv.Client())
			srv.Inject(watchtest.Fault{On: watchtest.Watch, Times: 1, Do: watchtest.Refuse()})
			srv.Strike(watchtest.Cut())
			srv.Delete("default", "a")
			srv.Compact()
			time.Sleep(time.Minute)
			wantSynced(t, srv, informer)
			if srv.Count(watchtest.StreamingList) != 2 {
				t.Errorf("requests %v, want two streaming lists", srv.Requests())
			}
		})
	}
}

// After any faults, an informer holds the pods that the server has.
func TestInformerSurvivesFaults(t *testing.T) {
	seed := rand.Uint64()
	defer func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(seed, 0))
		srv := watchtest.NewServer()
		informer := startInformer(t, srv.Client())
		lift := func() {}
		for range 200 {
			change(srv, random)
			if random.IntN(10) == 0 {
				lift()
				lift = randomFault(srv, random)
			}
			time.Sleep(time.Duration(random.Int64N(int64(time.Minute))))
		}
		lift()
		srv.Strike(watchtest.Reset()) // an informer would wait for a silent stream for minutes
		time.Sleep(20 * time.Minute)
		wantSynced(t, srv, informer)
	})
}

// change makes one random write.
func change(srv *watchtest.Server, random *rand.Rand) {
	name := fmt.Sprint("pod-", random.IntN(10))
	exists := slices.Contains(names(srv.List("")), name)
	switch {
	case !exists:
		srv.Create(executor(name))
	case random.IntN(3) == 0:
		srv.Delete("default", name)
	default:
		srv.Update("default", name, func(pod *corev1.Pod) { pod.Labels["app"] = []string{"one", "two"}[random.IntN(2)] })
	}
}

// randomFault applies a random effect to the open streams or to future requests.
func randomFault(srv *watchtest.Server, random *rand.Rand) (lift func()) {
	unavailable := apierrors.NewServiceUnavailable("no leader")
	effects := []watchtest.Effect{
		watchtest.Cut(), watchtest.Reset(), watchtest.Tear(), watchtest.Malform(), watchtest.Refuse(),
		watchtest.Answer(unavailable), watchtest.SendError(apierrors.NewResourceExpired("too old")),
		watchtest.SendRaw([]byte("nonsense")), watchtest.Delay(time.Second), watchtest.Slow(100, time.Millisecond),
	}
	effect := effects[random.IntN(len(effects))]
	if random.IntN(3) == 0 {
		srv.Compact()
	}
	if random.IntN(2) == 0 {
		return srv.Strike(effect)
	}
	return srv.Inject(watchtest.Fault{Times: 1 + random.IntN(3), After: random.IntN(3), Do: effect})
}
