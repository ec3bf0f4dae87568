// SPDX-License-Identifier: Apache-2.0

package application

import (
	"bufio"
	_ "embed"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/executorpods/watchsource/integration/cluster"
	"github.com/executorpods/watchsource/integration/spark"
	rbacv1 "k8s.io/api/rbac/v1"
)

// A driver is Spark's driver in client mode, a process on this machine. It runs Job.java.
type driver struct {
	t        *testing.T
	process  *exec.Cmd
	jobs     io.WriteCloser
	answers  *bufio.Scanner
	log      string // path
	eventLog string // path, with the suffix .inprogress while the application runs
}

// startDriver submits the application. The pods of its executors have the image "spark".
func startDriver(t *testing.T, installation *spark.Installation, app, namespace string, conf ...string) *driver {
	t.Helper()
	dir := t.TempDir()
	d := &driver{t: t, log: filepath.Join(dir, "driver.log"), eventLog: filepath.Join(dir, "events", app)}
	if err := os.Mkdir(filepath.Dir(d.eventLog), 0o755); err != nil {
		t.Fatal(err)
	}
	kubeconfig := filepath.Join(dir, "kubeconfig")
	// Spark's client cannot read the administrator's key, which is of an elliptic curve.
	account, err := cluster.AddServiceAccount(t.Context(), server.Config(), namespace, app, rbacv1.PolicyRule{
		APIGroups: []string{""},
		Resources: []string{"pods", "services", "configmaps", "persistentvolumeclaims"},
		Verbs:     []string{rbacv1.VerbAll},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := cluster.WriteKubeconfig(kubeconfig, account); err != nil {
		t.Fatal(err)
	}
	jar, err := installation.Compile(t.Context(), dir, "Job.java")
	if err != nil {
		t.Fatal(err)
	}
	logging, err := filepath.Abs("log4j2.properties")
	if err != nil {
		t.Fatal(err)
	}
	args := []string{
		"--master", "k8s://" + server.Config().Host, "--deploy-mode", "client", "--class", "Job",
		"--driver-memory", "512m", "--driver-java-options", "-Dlog4j2.configurationFile=file:" + logging,
	}
	for _, setting := range append([]string{
		"spark.app.id=" + app,
		"spark.kubernetes.namespace=" + namespace,
		"spark.kubernetes.container.image=spark",
		"spark.driver.host=127.0.0.1",
		"spark.executor.cores=1",
		"spark.executor.memory=512m",
		"spark.task.maxFailures=100", // the test takes many executors away
		"spark.ui.enabled=false",
		"spark.eventLog.enabled=true",
		"spark.eventLog.rolling.enabled=false",
		"spark.eventLog.compress=false",
		"spark.eventLog.dir=file://" + filepath.Dir(d.eventLog),
	}, conf...) {
		args = append(args, "--conf", setting)
	}
	d.process, err = installation.Submit(t.Context(), append(args, jar)...)
	if err != nil {
		t.Fatal(err)
	}
	d.process.Env = append(d.process.Env, "KUBECONFIG="+kubeconfig)
	d.start()
	return d
}

func (d *driver) start() {
	t := d.t
	t.Helper()
	log, err := os.Create(d.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	d.process.Stderr = log
	if d.jobs, err = d.process.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	output, err := d.process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	d.answers = bufio.NewScanner(output)
	if err := d.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = d.process.Process.Kill() // it has usually ended
		_ = d.process.Wait()
		if t.Failed() {
			t.Logf("the driver's log:\n%s", d.readLog())
		}
	})
}

func (d *driver) readLog() string {
	content, err := os.ReadFile(d.log)
	if err != nil {
		return err.Error()
	}
	return string(content)
}

// begin starts a job.
func (d *driver) begin(job string) {
	d.t.Helper()
	if _, err := fmt.Fprintln(d.jobs, job); err != nil {
		d.t.Fatal(err)
	}
}

// wait waits for the end of a job that begin started, and checks how many tasks ended.
func (d *driver) wait(job string, tasks int) {
	d.t.Helper()
	if !d.answers.Scan() {
		d.t.Fatalf("job %q: the driver has ended", job)
	}
	if got, want := d.answers.Text(), fmt.Sprintf("%s: %d", job, tasks); got != want {
		d.t.Errorf("the driver printed %q, want %q", got, want)
	}
}

// stop lets the application end, as a driver does whose work is done.
func (d *driver) stop() {
	d.t.Helper()
	if err := d.jobs.Close(); err != nil {
		d.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- d.process.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			d.t.Errorf("the driver: %v", err)
		}
	case <-time.After(patience):
		d.t.Fatalf("the driver has not stopped, want an end within %v", patience)
	}
}

// lines returns the lines of the driver's log that have a text.
func (d *driver) lines(text string) (lines []string) {
	for line := range strings.Lines(d.readLog()) {
		if strings.Contains(line, text) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}
