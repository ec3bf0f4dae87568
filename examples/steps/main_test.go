// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/executorpods/watchsource/watchtest"
)

// A kubelet runs each pod of a server: change is called a second after its creation.
func kubelet(t *testing.T, server *watchtest.Server, change func(*corev1.Pod)) {
	watch, err := server.Client().CoreV1().Pods("ci").Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(watch.Stop)
	go func() {
		for event := range watch.ResultChan() {
			if event.Type == "ADDED" {
				time.Sleep(time.Second)
				change(event.Object.(*corev1.Pod))
			}
		}
	}()
}

// exit ends the container of a pod.
func exit(server *watchtest.Server, p *corev1.Pod, code int32) {
	server.Update(p.Namespace, p.Name, func(p *corev1.Pod) {
		end := &corev1.ContainerStateTerminated{ExitCode: code}
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "step", State: corev1.ContainerState{Terminated: end}}}
	})
}

func runIn(t *testing.T, server *watchtest.Server, commands ...string) (string, error) {
	var out bytes.Buffer
	err := runSteps(t.Context(), server.Client(), "ci", "run-1", "busybox", time.Minute, commands, &out)
	if left := server.List(""); len(left) > 0 {
		t.Errorf("%d pods are left, want none", len(left))
	}
	return out.String(), err
}

// The steps run until one fails, and no pod is left.
func TestSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		kubelet(t, server, func(p *corev1.Pod) {
			var code int32
			if p.Spec.Containers[0].Command[2] == "false" {
				code = 1
			}
			exit(server, p, code)
		})
		out, err := runIn(t, server, "true", "false", "true")
		want := "step 1: Succeeded, exit code 0 \nstep 2: Failed, exit code 1 \n"
		if out != want || err == nil || err.Error() != "step 2 has not succeeded" {
			t.Errorf("%q, %v, want %q and the error of step 2", out, err, want)
		}
	})
}

// Another program deletes the first pod as soon as it has ended, and the second while it runs.
func TestPodsThatSomebodyDeletes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		kubelet(t, server, func(p *corev1.Pod) {
			if strings.HasSuffix(p.Name, "1") {
				exit(server, p, 0)
			}
			server.Delete(p.Namespace, p.Name)
		})
		out, err := runIn(t, server, "true", "true")
		want := "step 1: Succeeded, exit code 0 \nstep 2: Deleted, exit code -1 \n"
		if out != want || err == nil {
			t.Errorf("%q, %v, want %q and an error", out, err, want)
		}
	})
}

// A step that does not end is given up, and its pod deleted.
func TestStepTakesTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		_, err := runIn(t, watchtest.NewServer(), "sleep infinity")
		want := `watchsource: wait for the end of pod "run-1-step-1": the step takes longer than 1m0s`
		if err == nil || err.Error() != want || time.Since(began) != time.Minute {
			t.Errorf("%v after %v, want %q after a minute", err, time.Since(began), want)
		}
	})
}

func TestStepsStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		server := watchtest.NewServer()
		err := runSteps(ctx, server.Client(), "ci", "run-1", "busybox", time.Minute, []string{"sleep infinity"}, new(bytes.Buffer))
		if err == nil || len(server.List("")) > 0 {
			t.Errorf("%v, %d pods left, want an error and none", err, len(server.List("")))
		}
	})
}
