// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"flag"
	"io"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/executorpods/watchsource"
	"github.com/go-logr/logr"
	"github.com/go-logr/zapr"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"
)

// debug is the verbosity of the library's debug messages, slog's LevelDebug.
const debug = 4

// The documented lines come out of the loggers that schedulers use, and at
// their usual verbosity they do not.
func TestLoggers(t *testing.T) {
	const (
		starting = "Starting watch for pods with labels spark-app-selector=" + appID + ", spark-role=executor."
		received = "Received pod event"
	)
	for _, test := range []struct {
		name     string
		logger   func(t *testing.T, out io.Writer, verbosity int) logr.Logger
		podEvent []string // the parts of the line about the pod
	}{
		{name: "klog", logger: klogLogger, podEvent: []string{received, `pod="spark/one"`, `type="ADDED"`}},
		{name: "textlogger", logger: textLogger, podEvent: []string{received, `pod="spark/one"`, `type="ADDED"`}},
		{name: "zap", logger: zapLogger, podEvent: []string{received, `"pod":{"name":"one","namespace":"spark"}`, `"type":"ADDED"`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			out := &lockedBuffer{}
			watchOnePod(t, test.logger(t, out, debug))
			if !strings.Contains(out.String(), starting) {
				t.Errorf("no line %q in:\n%s", starting, out)
			}
			if !hasLine(out.String(), test.podEvent) {
				t.Errorf("no line with %q in:\n%s", test.podEvent, out)
			}

			quiet := &lockedBuffer{}
			watchOnePod(t, test.logger(t, quiet, 0))
			if quiet.String() != "" {
				t.Errorf("not at debug level, but logged:\n%s", quiet)
			}
		})
	}
}

// watchOnePod starts a source, creates a pod, waits until it is seen, and stops.
func watchOnePod(t *testing.T, logger logr.Logger) {
	t.Helper()
	client := fake.NewClientset()
	store := watchsource.NewStore(watchsource.WithLogger(logger))
	source := watchsource.NewWatchSnapshotSource(store, client, watchsource.WithLogger(logger))
	if err := source.Start(appID); err != nil {
		t.Fatal(err)
	}
	defer source.Stop()
	pod := executorPod("spark", appID, 1)
	pod.Name = "one"
	pod.Status.Phase = corev1.PodPending // as a real server does by default
	if _, err := client.CoreV1().Pods("spark").Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	seesOne := func(s watchsource.Snapshot) bool { return s.Len() == 1 }
	if _, err := store.WaitFor(t.Context(), seesOne); err != nil {
		t.Fatal(err)
	}
}

func klogLogger(t *testing.T, out io.Writer, verbosity int) logr.Logger {
	t.Helper()
	before := klog.CaptureState()
	t.Cleanup(before.Restore)
	flags := flag.NewFlagSet("klog", flag.ContinueOnError)
	klog.InitFlags(flags)
	for name, value := range map[string]string{"logtostderr": "false", "v": strconv.Itoa(verbosity)} {
		if err := flags.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	klog.SetOutput(out)
	t.Cleanup(func() { klog.SetOutput(nil) })
	return klog.Background()
}

func textLogger(_ *testing.T, out io.Writer, verbosity int) logr.Logger {
	return textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(out), textlogger.Verbosity(verbosity)))
}

// zapLogger is production's encoding. zapr turns a verbosity of logr into the
// zap level of the same number below zero.
func zapLogger(_ *testing.T, out io.Writer, verbosity int) logr.Logger {
	encoder := zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig())
	level := zapcore.Level(-verbosity)
	return zapr.NewLogger(zap.New(zapcore.NewCore(encoder, zapcore.AddSync(out), level)))
}

func hasLine(text string, parts []string) bool {
	for line := range strings.Lines(text) {
		all := true
		for _, part := range parts {
			all = all && strings.Contains(line, part)
		}
		if all {
			return true
		}
	}
	return false
}

// lockedBuffer may be written and read at the same time.
type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}
