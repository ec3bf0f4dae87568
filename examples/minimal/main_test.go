// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/watchtest"
)

const appID = "spark-8f3a5c1e"

func executor(id string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name:      "exec-" + id,
			Namespace: "jobs",
			Labels: map[string]string{
				watchsource.LabelApp:        appID,
				watchsource.LabelRole:       watchsource.RoleExecutor,
				watchsource.LabelExecutorID: id,
			},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "spark-kubernetes-executor", Image: "spark"}}},
	}
}

// fates is what the kubelet does with the executors.
func fates(pod *corev1.Pod) watchtest.Lifecycle {
	switch pod.Name {
	case "exec-1":
		return watchtest.Lifecycle{RunFor: time.Minute}
	case "exec-2":
		return watchtest.Lifecycle{RunFor: 2 * time.Minute, ExitCode: 137}
	default:
		return watchtest.Lifecycle{}
	}
}

// The program prints each end once, and ends without an error when its context does.
func TestFollowPrintsEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		defer server.StartKubelet(fates)()
		for _, id := range []string{"1", "2", "3"} {
			server.Create(executor(id))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		var out bytes.Buffer
		if err := follow(ctx, server.Client(), "jobs", appID, &out); err != nil {
			t.Errorf("follow returned %v, want nil", err)
		}
		if got, want := out.String(), "exec-1 Succeeded 0 Completed\nexec-2 Failed 137 OOMKilled\n"; got != want {
			t.Errorf("follow printed\n%swant\n%s", got, want)
		}
	})
}

// An end that is not printed yet when the context ends is printed before follow returns.
func TestFollowLosesNoEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		server.Create(executor("1"))
		ctx, cancel := context.WithCancel(t.Context())
		var out bytes.Buffer
		result := make(chan error)
		go func() { result <- follow(ctx, server.Client(), "jobs", appID, &out) }()
		time.Sleep(time.Minute)
		synctest.Wait()
		server.Update("jobs", "exec-1", func(pod *corev1.Pod) { pod.Status.Phase = corev1.PodFailed })
		synctest.Wait()
		cancel()
		if err := <-result; err != nil {
			t.Errorf("follow returned %v, want nil", err)
		}
		if !strings.Contains(out.String(), "exec-1 Failed") {
			t.Errorf("follow printed %q, want the end of exec-1", out.String())
		}
	})
}

// A watch that cannot start ends the program with the reason.
func TestFollowReturnsTheErrorOfStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := follow(t.Context(), watchtest.NewServer().Client(), "jobs", "", new(bytes.Buffer))
		if !errors.Is(err, watchsource.ErrInvalidAppID) {
			t.Errorf("follow returned %v, want ErrInvalidAppID", err)
		}
	})
}

// A team copies the program, so it stays short.
func TestProgramIsShort(t *testing.T) {
	program, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	if lines := bytes.Count(program, []byte("\n")); lines > 60 {
		t.Errorf("main.go has %d lines, want at most 60", lines)
	}
}
