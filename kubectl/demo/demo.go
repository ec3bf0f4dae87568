// SPDX-License-Identifier: Apache-2.0

// Package demo runs applications on an embedded cluster, with the accidents that executors
// have: images that cannot be pulled, evictions, deletions, exit codes. Now and then the API
// server does not answer for a while.
package demo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/sleep"
	"github.com/executorpods/watchsource/watchtest"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

const (
	// AppID is the application with the most executors.
	AppID = "spark-demo"
	// Namespace is where the three applications are.
	Namespace = "jobs"
	// otherNamespace has one application, with the id of one in Namespace.
	otherNamespace = "staging"

	// driverInterval is the time between two reconciliations of a driver.
	driverInterval = 400 * time.Millisecond
	// keepEnded is how long a driver keeps the pod of an ended executor.
	keepEnded = 2 * time.Second
)

// outageEvery and outageFor are the times between two outages and of one.
const (
	outageEvery = 30 * time.Second
	outageFor   = 6 * time.Second
)

// drivers returns the driver of each application.
func drivers() []driver {
	return []driver{
		{namespace: Namespace, appID: AppID, wanted: 24, lifetime: 20 * time.Second},
		{namespace: Namespace, appID: "spark-etl", wanted: 6, lifetime: 45 * time.Second},
		{namespace: Namespace, appID: "spark-report", wanted: 3, lifetime: 4 * time.Second, last: 12},
		{namespace: otherNamespace, appID: "spark-etl", wanted: 2, lifetime: 30 * time.Second},
	}
}

// Check returns an error that names what the cluster has, if it does not have a namespace, or an
// application in it. Each may be empty for all.
func Check(namespace, appID string) error {
	namespaces, apps := []string{}, []string{}
	for _, d := range drivers() {
		namespaces = append(namespaces, d.namespace)
		if namespace == "" || namespace == d.namespace {
			apps = append(apps, d.appID)
		}
	}
	namespaces, apps = slices.Compact(namespaces), slices.Compact(slices.Sorted(slices.Values(apps)))
	switch {
	case len(apps) == 0:
		return fmt.Errorf("the demonstration has no namespace %q: it has %s", namespace, strings.Join(namespaces, ", "))
	case appID != "" && !slices.Contains(apps, appID):
		return fmt.Errorf("the demonstration has no application %q%s: it has %s", appID, in(namespace), strings.Join(apps, ", "))
	}
	return nil
}

func in(namespace string) string {
	if namespace == "" {
		return ""
	}
	return " in the namespace " + namespace
}

// Start starts the cluster and the applications, each with its first executors: three in Namespace,
// and one elsewhere. stop ends them, and waits until they have ended.
func Start() (client kubernetes.Interface, stop func()) {
	server := watchtest.NewServer()
	stopKubelet := server.StartKubelet(lifecycle)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { outages(ctx, server) })
	for _, driver := range drivers() {
		driver.client = server.Client()
		_ = driver.reconcile(ctx) // a failure is repaired by the next one
		running.Go(func() { driver.run(ctx) })
	}
	return server.Client(), func() {
		cancel()
		running.Wait()
		stopKubelet()
	}
}

// lifecycle adds the faults from outside, by executor id, to what the annotations of a pod say.
func lifecycle(pod *corev1.Pod) watchtest.Lifecycle {
	l := watchtest.LifecycleOf(pod)
	switch id, _ := strconv.Atoi(pod.Labels[watchsource.LabelExecutorID]); {
	case id%17 == 0:
		l.EvictAfter = 7 * time.Second
	case id%13 == 0:
		l.DeleteAfter = 9 * time.Second
	case id%11 == 0:
		l.PullFailsFor = 8 * time.Second
	}
	return l
}

// outages breaks the watches of the applications off, and refuses new ones, again and again.
// The drivers go on, because their requests have another selector, and so does the kubelet.
func outages(ctx context.Context, server *watchtest.Server) {
	for sleep.For(ctx, outageEvery) {
		lift := server.Inject(watchtest.Fault{
			On: watchtest.List | watchtest.Watch | watchtest.StreamingList,
			If: func(r watchtest.Request) bool {
				return strings.Contains(r.Options.LabelSelector, watchsource.LabelRole)
			},
			Do: watchtest.Answer(apierrors.NewServiceUnavailable("etcdserver: leader changed")),
		})
		for _, stream := range server.Streams() {
			if strings.Contains(stream.Request().Options.LabelSelector, watchsource.LabelRole) {
				stream.Strike(watchtest.Reset())
			}
		}
		sleep.For(ctx, outageFor)
		lift()
	}
}

// A driver keeps a number of executors alive.
type driver struct {
	client    kubernetes.Interface
	namespace string
	appID     string
	wanted    int
	lifetime  time.Duration // of an executor without an accident
	last      int           // id of the last executor, 0 for no last one

	created int
}

func (d *driver) run(ctx context.Context) {
	for sleep.For(ctx, driverInterval) {
		_ = d.reconcile(ctx) // the next one tries again
	}
}

// reconcile deletes the pods that ended a while ago, and creates up to three of those that are
// missing.
func (d *driver) reconcile(ctx context.Context) error {
	pods := d.client.CoreV1().Pods(d.namespace)
	list, err := pods.List(ctx, metav1.ListOptions{LabelSelector: watchsource.LabelApp + "=" + d.appID})
	if err != nil {
		return err
	}
	alive := 0
	for _, pod := range list.Items {
		switch ended, at := endOf(&pod); {
		case !ended:
			alive++
		case time.Since(at) > keepEnded && pod.DeletionTimestamp == nil:
			err = errors.Join(err, pods.Delete(ctx, pod.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}))
		}
	}
	for range min(d.wanted-alive, 3) {
		if d.created == d.last && d.last > 0 {
			break
		}
		d.created++
		_, createErr := pods.Create(ctx, d.pod(d.created), metav1.CreateOptions{})
		err = errors.Join(err, createErr)
	}
	return err
}

func endOf(pod *corev1.Pod) (ended bool, at time.Time) {
	if pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed {
		return false, time.Time{}
	}
	for _, container := range pod.Status.ContainerStatuses {
		if container.State.Terminated != nil {
			return true, container.State.Terminated.FinishedAt.Time
		}
	}
	return true, pod.CreationTimestamp.Time
}

func (d *driver) pod(id int) *corev1.Pod {
	runFor, exitCode := d.lifetime+time.Duration(id%7)*time.Second, int32(0)
	switch {
	case id%9 == 0:
		runFor, exitCode = 5*time.Second, 137
	case id%14 == 0:
		runFor, exitCode = 6*time.Second, 52
	case id%19 == 0:
		runFor, exitCode = 3*time.Second, 1
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name:      fmt.Sprintf("%s-exec-%d", d.appID, id),
			Namespace: d.namespace,
			Labels: map[string]string{
				watchsource.LabelApp:        d.appID,
				watchsource.LabelRole:       watchsource.RoleExecutor,
				watchsource.LabelExecutorID: strconv.Itoa(id),
			},
			Annotations: watchtest.Lifecycle{RunFor: runFor, ExitCode: exitCode}.Annotations(),
		},
		Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever,
			Containers:    []corev1.Container{{Name: "spark-kubernetes-executor", Image: "spark"}},
		},
	}
}
