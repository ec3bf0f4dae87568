// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/examples/fleet"
	"github.com/executorpods/watchsource/watchtest"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A platform has applications with one executor each. Its methods are safe for concurrent use.
type platform struct {
	// Fixed after newPlatform.
	pods *watchtest.Server
	apps int

	// Owned by the goroutine that calls failAll.
	executor int // the id of the executors that run

	// Guarded by mu.
	mu      sync.Mutex
	failed  map[string]bool // the pods whose end has not been handled yet, by name
	handled int
}

func newPlatform(apps int) *platform {
	p := &platform{pods: watchtest.NewServer(), apps: apps, failed: map[string]bool{}}
	for app := range apps {
		p.createPod(appID(app), 0)
	}
	return p
}

// failAll lets the executor of each application fail, and creates the next one.
func (p *platform) failAll() {
	for app := range p.apps {
		p.failPod(podName(appID(app), p.executor))
		p.createPod(appID(app), p.executor+1)
	}
	p.executor++
}

// handle handles a batch of an application. A pod is deleted after its end was handled, and not
// before. So the next owner sees the ends that this one has not handled, and it may see some again.
func (p *platform) handle(_ context.Context, _ string, batch watchsource.Batch) {
	for _, change := range batch.Changes {
		if change.After != nil && change.After.State.Ended() && p.isFirst(change.After.Name) {
			p.pods.Delete("jobs", change.After.Name)
		}
	}
}

// isFirst counts the end of a pod. It reports false if it was counted before.
func (p *platform) isFirst(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.failed[name] {
		return false
	}
	delete(p.failed, name)
	p.handled++
	return true
}

// ends returns how many ends were handled and how many wait.
func (p *platform) ends() (handled, waiting int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.handled, len(p.failed)
}

func appID(app int) string { return fmt.Sprintf("app-%03d", app) }

func podName(app string, executor int) string { return fmt.Sprintf("%s-exec-%d", app, executor) }

func (p *platform) createPod(app string, executor int) {
	p.pods.Create(&corev1.Pod{
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

func (p *platform) failPod(name string) {
	p.mu.Lock()
	p.failed[name] = true
	p.mu.Unlock()
	p.pods.Update("jobs", name, func(pod *corev1.Pod) { pod.Status.Phase = corev1.PodFailed })
}
