// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/executorpods/watchsource/integration/cluster"
	"github.com/executorpods/watchsource/integration/kubelet"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

const (
	operatorWorkers   = 1000
	operatorJob       = "thousand"
	operatorLease     = 6 * time.Second
	operatorLeaseName = "workerjobs.batch.example.com"
	// operatorPatience is for what takes a minute on a busy machine.
	operatorPatience = 2 * time.Minute
)

// Two replicas of the example operator, as processes with only the rights of the manifest, run a job
// with 1,000 workers. Workers succeed, crash, run out of memory, are evicted and are deleted, while
// the leader is killed, while no replica has the lease, and while the leader is stopped. Pods that
// have ended are deleted while no replica works. The status counts each end once, at all times, and
// only the leader watches the pods.
func TestExampleOperator(t *testing.T) {
	client := admin(t)
	o := newOperatorTest(t, client)
	others := o.podWatches()
	for _, name := range []string{"replica-0", "replica-1"} {
		o.supervise(name)
	}
	o.createJob()
	o.await("all workers run", func(s jobStatus) bool { return s.Running == operatorWorkers })
	if watches := o.podWatches() - others; watches != 1 {
		t.Errorf("the replicas have %d watches of pods open, want one, that of the leader", watches)
	}

	o.while(0, 300, func() { o.signalLeader(syscall.SIGKILL) })
	o.await("the ends around the kill are counted", func(s jobStatus) bool { return s.ended() == 300 })

	giveBack := o.stealLease()
	o.while(300, 600, func() {})
	o.deleteEnded(300, 450)
	if counted := o.status().ended(); counted != 300 {
		t.Errorf("%d ends are counted without a leader, want 300 as before", counted)
	}
	giveBack()
	o.await("the ends without a leader are counted", func(s jobStatus) bool { return s.ended() == 600 })

	o.while(600, operatorWorkers, func() { o.signalLeader(syscall.SIGTERM) })
	o.await("the job is complete", func(s jobStatus) bool { return s.Complete })
	o.requireStatus()
	o.requireNoEndWasCountedTwice()
	o.deleteJob()
}

// An operatorTest runs replicas of the operator, and ends the workers of its job.
type operatorTest struct {
	// Fixed after newOperatorTest.
	t          *testing.T
	client     kubernetes.Interface
	jobs       dynamic.ResourceInterface
	program    string
	kubeconfig string
	statuses   *jobHistory

	replicas replicas
}

func newOperatorTest(t *testing.T, client kubernetes.Interface) *operatorTest {
	t.Helper()
	if _, err := envtest.InstallCRDs(server.Config(), envtest.CRDInstallOptions{Paths: []string{"../controller/example/crd.yaml"}}); err != nil {
		t.Fatal(err)
	}
	all, err := dynamic.NewForConfig(server.Config())
	if err != nil {
		t.Fatal(err)
	}
	o := &operatorTest{
		t:          t,
		client:     client,
		jobs:       all.Resource(schema.GroupVersionResource{Group: "batch.example.com", Version: "v1", Resource: "workerjobs"}).Namespace(metav1.NamespaceDefault),
		program:    buildProgram(t, "../controller", "./example"),
		kubeconfig: filepath.Join(t.TempDir(), "kubeconfig"),
	}
	if err := cluster.WriteKubeconfig(o.kubeconfig, serviceAccount(t, client, "../controller/example/rbac.yaml")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.removeRemains)
	runNode(t, &kubelet.Kubelet{Client: client, Node: "node-0", Namespace: metav1.NamespaceDefault})
	o.awaitNode()
	t.Cleanup(o.replicas.stop)
	return o
}

// awaitNode returns when a pod runs, so that the kubelet's watch is open.
func (o *operatorTest) awaitNode() {
	o.t.Helper()
	pod := create(o.t, o.client, executorPod(metav1.NamespaceDefault, "probe", 0))[0]
	err := wait.PollUntilContextTimeout(o.t.Context(), 50*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		pod, err := o.client.CoreV1().Pods(pod.Namespace).Get(ctx, pod.Name, metav1.GetOptions{})
		return err == nil && pod.Status.Phase == corev1.PodRunning, err
	})
	if err != nil {
		o.t.Fatal(err)
	}
	remove(o.t, o.client, byForce, pod)
}

// removeRemains removes the pods of a test that has failed, which still have the finalizers of the operator.
func (o *operatorTest) removeRemains() {
	ctx := context.WithoutCancel(o.t.Context())
	pods, err := o.client.CoreV1().Pods(metav1.NamespaceDefault).List(ctx, metav1.ListOptions{LabelSelector: "batch.example.com/job"})
	if err != nil {
		o.t.Error(err)
		return
	}
	for _, pod := range pods.Items {
		_, _ = o.client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
	}
	clearNamespace(o.t, o.client, metav1.NamespaceDefault)
	_, _ = o.jobs.Patch(ctx, operatorJob, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
	_ = o.jobs.Delete(ctx, operatorJob, metav1.DeleteOptions{})
}

func (o *operatorTest) createJob() {
	o.t.Helper()
	job := map[string]any{
		"apiVersion": "batch.example.com/v1", "kind": "WorkerJob",
		"metadata": map[string]any{"name": operatorJob},
		"spec": map[string]any{
			"workers": int64(operatorWorkers),
			"template": map[string]any{"spec": map[string]any{
				"containers": []any{map[string]any{"name": "worker", "image": "worker"}},
			}},
		},
	}
	if _, err := o.jobs.Create(o.t.Context(), &unstructured.Unstructured{Object: job}, metav1.CreateOptions{}); err != nil {
		o.t.Fatal(err)
	}
	o.statuses = recordStatuses(o.t, o.jobs)
}

// while ends the workers from one index up to another, and calls meanwhile when half of them have ended.
func (o *operatorTest) while(from, to int, meanwhile func()) {
	o.t.Helper()
	begin := time.Now()
	half := (from + to) / 2
	o.inParallel(from, half, o.end)
	var acting sync.WaitGroup
	acting.Go(meanwhile)
	o.inParallel(half, to, o.end)
	acting.Wait()
	o.t.Logf("%d workers have ended in %v", to-from, time.Since(begin).Round(100*time.Millisecond))
}

// inParallel keeps one API server busy.
func (o *operatorTest) inParallel(from, to int, do func(index int) error) {
	o.t.Helper()
	var group errgroup.Group
	group.SetLimit(4)
	for index := from; index < to; index++ {
		group.Go(func() error { return do(index) })
	}
	if err := group.Wait(); err != nil {
		o.t.Fatal(err)
	}
}

// end ends a worker. Most ends are written by the kubelet, which an annotation tells to.
func (o *operatorTest) end(index int) error {
	pods, name := o.client.CoreV1().Pods(metav1.NamespaceDefault), workerPod(index)
	var patch, subresource string
	switch how := workerEnds[index%len(workerEnds)]; how {
	case workerEvicted:
		patch, subresource = evictionPatch, "status"
	case workerDeleted:
		return pods.Delete(o.t.Context(), name, metav1.DeleteOptions{})
	default:
		patch = fmt.Sprintf(`{"metadata":{"annotations":{%q:"0s",%q:%q}}}`, kubelet.AnnotationRunFor, kubelet.AnnotationExitCode, how)
	}
	_, err := pods.Patch(o.t.Context(), name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}, subresources(subresource)...)
	return err
}

func subresources(name string) []string {
	if name == "" {
		return nil
	}
	return []string{name}
}

// deleteEnded deletes pods as a user does, once the kubelet has written all their ends.
func (o *operatorTest) deleteEnded(from, to int) {
	o.t.Helper()
	pods := o.client.CoreV1().Pods(metav1.NamespaceDefault)
	o.inParallel(from, to, func(index int) error {
		err := wait.PollUntilContextTimeout(o.t.Context(), 100*time.Millisecond, operatorPatience, true, func(ctx context.Context) (bool, error) {
			pod, err := pods.Get(ctx, workerPod(index), metav1.GetOptions{})
			return err == nil && (pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed), err
		})
		if err != nil {
			return fmt.Errorf("wait for the end of worker %d: %w", index, err)
		}
		return pods.Delete(o.t.Context(), workerPod(index), metav1.DeleteOptions{})
	})
}

// stealLease makes another program the holder of the lease, and returns when the leader has ended.
func (o *operatorTest) stealLease() (giveBack func()) {
	o.t.Helper()
	leases := o.client.CoordinationV1().Leases(metav1.NamespaceDefault)
	leader := o.leader()
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		lease, err := leases.Get(o.t.Context(), operatorLeaseName, metav1.GetOptions{})
		if err != nil {
			return err
		}
		lease.Spec.HolderIdentity, lease.Spec.LeaseDurationSeconds = new("thief"), new(int32(600))
		lease.Spec.RenewTime = &metav1.MicroTime{Time: time.Now()}
		_, err = leases.Update(o.t.Context(), lease, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		o.t.Fatal(err)
	}
	select {
	case <-leader.ended:
	case <-time.After(operatorPatience):
		o.t.Fatal("the leader goes on without the lease")
	}
	return func() {
		if err := leases.Delete(o.t.Context(), operatorLeaseName, metav1.DeleteOptions{}); err != nil {
			o.t.Fatal(err)
		}
	}
}

// requireStatus compares the final status with the ends that the test has made.
func (o *operatorTest) requireStatus() {
	o.t.Helper()
	want := jobStatus{Ended: fmt.Sprintf("0-%d", operatorWorkers-1), Complete: true, ExitCodes: map[string]int{}, Reasons: map[string]int{}}
	for index := range operatorWorkers {
		how := workerEnds[index%len(workerEnds)]
		want.ExitCodes[how.exitCode()]++
		if how == "0" {
			want.Succeeded++
			continue
		}
		want.Failed++
		want.Reasons[how.reason()]++
	}
	if diff := cmp.Diff(want, o.statuses.last()); diff != "" {
		o.t.Errorf("the status of the job (-want +got):\n%s", diff)
	}
}

// podWatches counts the open watches of pods: one of the kubelet, those of the API server
// itself, and those of the replicas. A manager that reads a pod from its cache has one more.
func (o *operatorTest) podWatches() (count int) {
	o.t.Helper()
	metrics, err := o.client.CoreV1().RESTClient().Get().AbsPath("/metrics").DoRaw(o.t.Context())
	if err != nil {
		o.t.Fatal(err)
	}
	for _, match := range podWatchCount.FindAllSubmatch(metrics, -1) {
		n, err := strconv.Atoi(string(match[1]))
		if err != nil {
			o.t.Fatal(err)
		}
		count += n
	}
	return count
}

var podWatchCount = regexp.MustCompile(`(?m)^apiserver_longrunning_requests\{[^}]*resource="pods"[^}]*verb="WATCH"[^}]*\} (\d+)$`)

// deleteJob deletes the job, which goes when its pods have gone.
func (o *operatorTest) deleteJob() {
	o.t.Helper()
	if err := o.jobs.Delete(o.t.Context(), operatorJob, metav1.DeleteOptions{}); err != nil {
		o.t.Fatal(err)
	}
	err := wait.PollUntilContextTimeout(o.t.Context(), 100*time.Millisecond, operatorPatience, true, func(ctx context.Context) (bool, error) {
		_, err := o.jobs.Get(ctx, operatorJob, metav1.GetOptions{})
		return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
	})
	if err != nil {
		o.t.Errorf("the deleted job does not go: %v", err)
	}
	pods, err := o.client.CoreV1().Pods(metav1.NamespaceDefault).List(o.t.Context(), metav1.ListOptions{LabelSelector: "batch.example.com/job"})
	if err != nil {
		o.t.Fatal(err)
	}
	if len(pods.Items) > 0 {
		o.t.Errorf("%d pods are left without their job, want none", len(pods.Items))
	}
}
