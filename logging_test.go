// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/watchtest"
)

// rest.Config.Timeout cuts each watch. Start says so once.
func TestClientTimeoutIsLogged(t *testing.T) {
	const line = `"msg"="Client ends each watch early, set rest.Config.Timeout to 0"`
	for timeout, lines := range map[time.Duration]int{
		0: 0, time.Second: 1, 30 * time.Second: 1, 9 * time.Minute: 1, 10 * time.Minute: 0, time.Hour: 0,
	} {
		for _, wrapped := range []bool{false, true} {
			eachCaseInBubble(t, fmt.Sprint(timeout, ", wrapped ", wrapped), func(t *testing.T, newSource modeltest.NewSource) {
				server, log := watchtest.NewServer(), new(logLines)
				config := server.Config()
				config.Timeout = timeout
				var client kubernetes.Interface = clientFor(t, config)
				if wrapped {
					client = wrappedClient{client}
				}
				source := newSource(watchsource.NewStore(), client, watchsource.WithLogger(log.logger(0)))
				start(t, source, "app")
				defer source.Stop()
				time.Sleep(time.Hour)
				wantLines(t, log, lines, line, fmt.Sprintf(`"timeout"="%v"`, timeout))
			})
		}
	}
}

func TestLogging(t *testing.T) {
	eachInBubble(t, func(t *testing.T, newSource modeltest.NewSource) {
		log, quiet := &logLines{}, &logLines{}
		for _, l := range []struct {
			lines     *logLines
			verbosity int
		}{{lines: log, verbosity: 4}, {lines: quiet, verbosity: 3}} {
			client := fake.NewClientset()
			source := newSource(&recordingStore{}, client, watchsource.WithLogger(l.lines.logger(l.verbosity)))
			start(t, source, "app-1")
			create(t, client, pod("1", label(watchsource.LabelApp, "app-1"), func(p *corev1.Pod) {
				p.Spec.Containers = []corev1.Container{{Name: "c", Env: []corev1.EnvVar{{Name: "PASSWORD", Value: "s3cret"}}}}
			}))
			remove(t, client, pod("1"))
			synctest.Wait()
			source.Stop()
		}
		for _, want := range [][]string{
			{`"msg"="Starting watch for pods with labels spark-app-selector=app-1, spark-role=executor."`},
			{`"msg"="Received pod event"`, `"name"="exec-1"`, `"type"="ADDED"`},
			{`"msg"="Received pod event"`, `"name"="exec-1"`, `"type"="DELETED"`},
		} {
			if lines := log.matching(want...); len(lines) != 1 {
				t.Errorf("%d lines with %s, want 1: %q", len(lines), want, log.matching())
			}
		}
		if lines := log.matching("s3cret"); len(lines) > 0 {
			t.Errorf("logged the environment of a pod, want it left out: %s", lines)
		}
		if lines := quiet.matching(); len(lines) > 0 {
			t.Errorf("a watch without faults logged %s below debug level, want nothing", lines)
		}
	})
}
