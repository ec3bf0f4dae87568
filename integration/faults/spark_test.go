// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"bufio"
	"bytes"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/executorpods/watchsource/integration/cluster"
	"github.com/executorpods/watchsource/integration/spark"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/client-go/rest"
)

// sparkPatience is how long recovery may take: a connection that has died is noticed after
// 45 seconds by client-go, and Spark polls every 30 seconds.
const sparkPatience = 90 * time.Second

// watchClosed is a part of the line that Spark's watch source logs when its watch has ended
// for good.
const watchClosed = "Kubernetes client has been closed"

// Beside Spark's own source, under the faults that matter most to it. All timers are at
// their defaults.
func TestSparkUnderFaults(t *testing.T) {
	installation := spark.ForTest(t)
	program := filepath.Join(t.TempDir(), "sparkwatch")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../spark/sparkwatch").CombinedOutput(); err != nil {
		t.Fatalf("build sparkwatch: %v\n%s", err, out)
	}
	s := newScene(t)
	account, err := cluster.AddServiceAccount(t.Context(), server.Config(), s.namespace, "watcher", rbacv1.PolicyRule{
		APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get", "list", "watch"},
	})
	if err != nil {
		t.Fatal(err)
	}
	account.Host = "https://" + s.link.address
	for _, test := range []struct {
		name    string
		strike  func(*round, *testing.T)
		expired bool
	}{
		{name: "connection reset", strike: (*round).reset},
		{name: "connection swallowed", strike: (*round).swallowConnections},
		{name: "version expired", strike: (*round).expire, expired: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			ours := newSource(t, account, s.namespace)
			theirs := startSpark(t, program, account, s.namespace)
			watching, polling := theirs.series("watched"), theirs.series("polled")
			for i, o := range s.application.converge(t, sparkPatience, ours, watching, polling) {
				if !o.converged {
					t.Fatalf("watcher %d does not see the marker before the fault; Spark %s says:\n%s", i, installation.Version, theirs.errors())
				}
			}
			test.strike(s, t)
			outcomes := s.application.converge(t, sparkPatience, ours, watching, polling)
			for i, name := range []string{"watchsource", "Spark's watch", "Spark's watch and polling"} {
				t.Logf("%s: %s: %s", test.name, name, outcomes[i].recovery())
			}
			closed := strings.Contains(theirs.errors(), watchClosed)
			t.Logf("%s: Spark's watch has ended for good: %v", test.name, closed)
			s.application.mustEqualList(t, ours)
			if !outcomes[0].converged {
				t.Errorf("watchsource is not up to date; status %+v", ours.Status())
			}
			// The documents say so. Spark's watch does not list again.
			if test.expired && (outcomes[1].converged || !closed) {
				t.Errorf("Spark's watch converged: %v, ended for good: %v; want false, true", outcomes[1].converged, closed)
			}
		})
	}
}

// swallowConnections lets the connections that there are carry nothing any more. New ones
// work.
func (s *round) swallowConnections(*testing.T) {
	s.link.swallow()
	s.link.hear()
}

// A sparkProcess is Spark's source in a process. It prints the versions of the marker.
type sparkProcess struct {
	command *exec.Cmd
	in      io.Closer
	reading sync.WaitGroup

	mu   sync.Mutex
	seen map[string]string // last version by series
	log  bytes.Buffer
}

func startSpark(t *testing.T, program string, config *rest.Config, namespace string) *sparkProcess {
	t.Helper()
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	if err := cluster.WriteKubeconfig(kubeconfig, config); err != nil {
		t.Fatal(err)
	}
	p := &sparkProcess{
		command: exec.CommandContext(t.Context(), program, "-kubeconfig", kubeconfig, "-namespace", namespace, "-app", appID, "-follow", marker),
		seen:    map[string]string{},
	}
	in, err := p.command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.in = in
	p.follow(t, p.command.StdoutPipe, p.enter)
	p.follow(t, p.command.StderrPipe, p.note)
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.stop)
	return p
}

// follow calls do with each line of an output.
func (p *sparkProcess) follow(t *testing.T, output func() (io.ReadCloser, error), do func(line string)) {
	t.Helper()
	pipe, err := output()
	if err != nil {
		t.Fatal(err)
	}
	p.reading.Go(func() {
		for lines := bufio.NewScanner(pipe); lines.Scan(); {
			do(lines.Text())
		}
	})
}

func (p *sparkProcess) enter(line string) {
	series, version, _ := strings.Cut(line, " ")
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen[series] = version
}

func (p *sparkProcess) note(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.log.WriteString(line + "\n")
}

func (p *sparkProcess) errors() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

func (p *sparkProcess) stop() {
	p.in.Close()
	p.reading.Wait()
	_ = p.command.Wait() // it ends with an error when its input ends
}

// A sparkSeries is what one subscriber of a sparkProcess was shown.
type sparkSeries struct {
	*sparkProcess
	name string
}

func (p *sparkProcess) series(name string) sparkSeries { return sparkSeries{p, name} }

func (s sparkSeries) sees() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen[s.name]
}
