// SPDX-License-Identifier: Apache-2.0

// Demo runs a fleet of three replicas in one process, with an embedded cluster. Executors
// fail all the time. After ten seconds one replica loses its connection to the Leases, and
// the other two take over. It prints who acts for what once a second.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/examples/fleet"
	"github.com/executorpods/watchsource/watchtest"
	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/klog/v2"
)

const (
	apps     = 300
	cutAfter = 10
	seconds  = 40
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	klog.SetLogger(logr.Discard()) // the failed requests of the replica that is cut off

	pods := watchtest.NewServer()
	leases := clienttesting.NewObjectTracker(scheme.Scheme, scheme.Codecs.UniversalDecoder())
	var cut atomic.Bool
	var ended ends
	var replicas []*fleet.Replica
	var wait sync.WaitGroup
	for _, name := range []string{"replica-0", "replica-1", "replica-2"} {
		isCut := func() bool { return name == "replica-2" && cut.Load() }
		replica, err := fleet.New(fleet.Config{
			Client:    leaseClient(leases, isCut),
			Pods:      pods.Client(),
			Namespace: "platform",
			Fleet:     "demo",
			Name:      name,
			Act:       ended.record,
		})
		if err != nil {
			log.Fatal(err)
		}
		for app := range apps {
			replica.Add(appID(app))
		}
		replicas = append(replicas, replica)
		wait.Go(func() {
			if err := replica.Run(ctx); err != nil {
				log.Print(err)
			}
		})
	}

	for app := range apps {
		createPod(pods, appID(app), 0)
	}
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for second := range seconds {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		if second == cutAfter {
			fmt.Println("replica-2 loses its connection to the Leases")
			cut.Store(true)
		}
		for app := range apps {
			failPod(pods, appID(app), second)
			createPod(pods, appID(app), second+1)
		}
		report(second, replicas, ended.count())
	}
	cut.Store(false)
	cancel()
	wait.Wait()
}

// report prints the applications of each replica.
func report(second int, replicas []*fleet.Replica, ended int) {
	fmt.Printf("%3d s  applications:", second)
	for _, replica := range replicas {
		fmt.Printf(" %4d", replica.Status().Applications)
	}
	fmt.Printf("   ends handled: %5d of %d\n", ended, (second+1)*apps)
}

// ends counts the executors that have ended. It counts an executor once, because a new owner
// sees the ends again that the last one has handled.
type ends struct {
	mu   sync.Mutex
	pods map[string]bool
}

func (e *ends) record(_ context.Context, _ string, batch watchsource.Batch) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, change := range batch.Changes {
		if change.After != nil && change.After.State.Ended() {
			if e.pods == nil {
				e.pods = map[string]bool{}
			}
			e.pods[change.After.Name] = true
		}
	}
}

func (e *ends) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.pods)
}

// leaseClient returns a client for Leases that fails while isCut returns true.
func leaseClient(leases clienttesting.ObjectTracker, isCut func() bool) kubernetes.Interface {
	client := &fake.Clientset{}
	client.AddReactor("*", "*", func(clienttesting.Action) (bool, runtime.Object, error) {
		return isCut(), nil, errors.New("connection refused")
	})
	client.AddReactor("*", "*", clienttesting.ObjectReaction(leases))
	return client
}

func appID(app int) string { return fmt.Sprintf("app-%03d", app) }

func podName(app string, executor int) string { return fmt.Sprintf("%s-exec-%d", app, executor) }

func createPod(pods *watchtest.Server, app string, executor int) {
	pods.Create(&corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name:      podName(app, executor),
			Namespace: "jobs",
			Labels: map[string]string{
				watchsource.LabelRole:       watchsource.RoleExecutor,
				watchsource.LabelApp:        app,
				watchsource.LabelExecutorID: strconv.Itoa(executor),
				fleet.BucketLabel:           strconv.Itoa(fleet.BucketOf(app)),
			},
		},
		Status: corev1.PodStatus{Phase: corev1.PodRunning},
	})
}

func failPod(pods *watchtest.Server, app string, executor int) {
	pods.Update("jobs", podName(app, executor), func(pod *corev1.Pod) { pod.Status.Phase = corev1.PodFailed })
}
