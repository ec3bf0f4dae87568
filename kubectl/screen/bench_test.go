// SPDX-License-Identifier: Apache-2.0

//go:build unix

package screen

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"syscall"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"
	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/kubectl/application"
	"github.com/executorpods/watchsource/watchtest"
	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
)

// BenchmarkScreen measures the CPU time of a store with 50,000 executors and 200 changes a
// second, without and with a screen. An iteration is one second of real time.
//
//	go test ./screen -run '^$' -bench Screen -benchtime 20x
func BenchmarkScreen(b *testing.B) {
	for _, row := range []struct {
		name   string
		screen bool
	}{{"without", false}, {"with", true}} {
		b.Run(row.name, func(b *testing.B) { benchmarkScreen(b, row.screen) })
	}
}

func benchmarkScreen(b *testing.B, withScreen bool) {
	const executors, perSecond = 50_000, 200
	store := application.NewStore(testApp, watchsource.WithLogger(logr.Discard()))
	source := watchsource.NewWatchSnapshotSource(store, watchtest.NewServer().Client(), watchsource.WithLogger(logr.Discard()))
	if err := source.Start(testApp); err != nil {
		b.Fatal(err)
	}
	defer source.Stop()
	pods := make([]*corev1.Pod, executors)
	for i := range pods {
		pods[i] = executorPod(testApp, i+1)
		pods[i].Status.Phase = corev1.PodRunning
	}
	store.ReplaceSnapshot(pods)

	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	if withScreen {
		config := Config{AppID: testApp, Namespace: testSpace, Source: source, Store: store}
		go func() {
			done <- run(ctx, config, newProgram(ctx, newModel(config), tea.WithInput(nil), tea.WithOutput(io.Discard),
				tea.WithWindowSize(120, 40), tea.WithColorProfile(colorprofile.ANSI)))
		}()
	} else {
		done <- nil
	}
	time.Sleep(time.Second) // the first frame sorts all executors

	begin, used := time.Now(), cpuTime(b)
	n := 0
	for b.Loop() {
		for range perSecond {
			pod := pods[n*7919%executors].DeepCopy()
			pod.ResourceVersion = strconv.Itoa(n + 1)
			if n%2 == 0 {
				pod.Status.Reason = fmt.Sprint("Reason", n)
			}
			n++
			store.UpdatePod(pod)
			time.Sleep(time.Until(begin.Add(time.Duration(n) * time.Second / perSecond)))
		}
	}
	b.ReportMetric(100*float64(cpuTime(b)-used)/float64(time.Since(begin)), "%core")
	b.ReportMetric(0, "ns/op") // of sleeping
	cancel()
	if err := <-done; err != nil {
		b.Error(err)
	}
}

// cpuTime returns the CPU time that the process has used.
func cpuTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
