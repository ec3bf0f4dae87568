// SPDX-License-Identifier: Apache-2.0

// Command steps runs commands one after another, each in a separate pod, as the agent of a CI system
// does, and stops at the first that fails. One watch sees the pods of all steps.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/executorpods/watchsource"
)

func main() {
	namespace := flag.String("namespace", "default", "`namespace` of the pods")
	image := flag.String("image", "busybox", "`image` of the pods")
	limit := flag.Duration("limit", time.Hour, "`time` that a step may take")
	flag.Usage = func() { fmt.Fprintln(os.Stderr, "usage: steps [flags] COMMAND..."); flag.PrintDefaults() }
	if flag.Parse(); flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	exitOn(err, fmt.Sprintf("found no cluster, set KUBECONFIG or run in a pod; looked at %v:", rules.Precedence))
	client, err := kubernetes.NewForConfig(config)
	exitOn(err)
	run := fmt.Sprint("run-", time.Now().Unix())
	exitOn(runSteps(ctx, client, *namespace, run, *image, *limit, flag.Args(), os.Stdout))
}

func exitOn(err error, doing ...any) {
	if err != nil {
		log.Fatalln(append(doing, err)...)
	}
}

const runLabel = "example.com/run"

// runSteps runs commands until one fails.
func runSteps(ctx context.Context, client kubernetes.Interface, namespace, run, image string, limit time.Duration, commands []string, out io.Writer) error {
	store := watchsource.NewStore(watchsource.WithExecutorIDLabel(""))
	ofRun := func(run string) labels.Selector { return labels.Set{runLabel: run}.AsSelector() }
	source := watchsource.NewWatchSnapshotSource(store, client, watchsource.WithNamespace(namespace), watchsource.WithSelector(ofRun))
	if err := source.Start(run); err != nil {
		return err
	}
	defer source.Stop()
	for i, command := range commands {
		pod := podOf(fmt.Sprintf("%s-step-%d", run, i+1), run, image, command)
		end, err := runStep(ctx, store, client.CoreV1().Pods(namespace), pod, limit)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "step %d: %v, exit code %d %s\n", i+1, end.State, end.ExitCode, end.Reason)
		if end.State != watchsource.Succeeded {
			return fmt.Errorf("step %d has not succeeded", i+1)
		}
	}
	return nil
}

// runStep creates a pod, waits for its end, and deletes it. An end that comes before the call of
// WaitForEnd is not missed, even if another program has deleted the pod since.
func runStep(ctx context.Context, store *watchsource.Store, pods typedcorev1.PodInterface, pod *corev1.Pod, limit time.Duration) (watchsource.Executor, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("the step takes longer than %v", limit))
	defer cancel()
	created, err := pods.Create(ctx, pod, metav1.CreateOptions{})
	if err != nil {
		return watchsource.Executor{}, err
	}
	defer pods.Delete(context.WithoutCancel(ctx), created.Name, metav1.DeleteOptions{}) // fails if another program has deleted it
	return store.WaitForEnd(ctx, created.Name, created.ResourceVersion)
}

func podOf(name, run, image, command string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{runLabel: run}},
		Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever,
			Containers:    []corev1.Container{{Name: "step", Image: image, Command: []string{"sh", "-c", command}}},
		},
	}
}
