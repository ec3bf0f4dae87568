// SPDX-License-Identifier: Apache-2.0

package check

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A server is a real Prometheus server that scrapes one target four times a second.
type server struct {
	t   *testing.T
	url string
}

const configuration = `
global: {scrape_interval: 250ms, scrape_timeout: 250ms, evaluation_interval: 250ms}
rule_files: [rules.yaml]
scrape_configs:
  - job_name: scheduler
    static_configs: [{targets: [%q]}]
`

// fastRules are alerts.yaml with shorter times.
var fastRules = strings.NewReplacer("> 180", "> 3", "for: 5m", "for: 1s", "for: 10m", "for: 1s", "[10m]", "[8s]", "offset 10m", "offset 8s")

// startServer starts the prometheus of PATH. The test's cleanup ends it.
func startServer(t *testing.T, target string) *server {
	t.Helper()
	program, err := exec.LookPath("prometheus")
	if err != nil {
		t.Skip("there is no prometheus in PATH (.ci/run integration brings Debian's)")
	}
	rules, err := os.ReadFile("../alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"prometheus.yaml": fmt.Sprintf(configuration, target), "rules.yaml": fastRules.Replace(string(rules))} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	address := freeAddress(t)
	command := exec.Command(program, "--config.file="+filepath.Join(dir, "prometheus.yaml"), "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+address, "--log.level=warn")
	log := new(bytes.Buffer)
	command.Stdout, command.Stderr = log, log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		if t.Failed() {
			t.Logf("log of Prometheus:\n%s", log)
		}
	})
	return &server{t: t, url: "http://" + address}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// get reads the data of an answer of the HTTP API.
func (s *server) get(path string, data any) error {
	response, err := http.Get(s.url + path)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer := struct {
		Status, Error string
		Data          any
	}{Data: data}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return err
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s: %s", answer.Status, answer.Error)
	}
	return nil
}

// query returns the number of time series that a query has now.
func (s *server) query(query string) (int, error) {
	var data struct{ Result []any }
	err := s.get("/api/v1/query?query="+url.QueryEscape(query), &data)
	return len(data.Result), err
}

// has reports whether a query has a time series now.
func (s *server) has(query string) func() bool {
	return func() bool {
		n, err := s.query(query)
		return err == nil && n > 0
	}
}

// alert returns the description of an alert that fires, or "".
func (s *server) alert(name string) string {
	var data struct {
		Alerts []struct {
			State               string
			Labels, Annotations map[string]string
		}
	}
	if err := s.get("/api/v1/alerts", &data); err != nil {
		return ""
	}
	for _, alert := range data.Alerts {
		if alert.Labels["alertname"] == name && alert.State == "firing" {
			return alert.Annotations["description"]
		}
	}
	return ""
}

// fires reports whether an alert fires, with a description that begins with a text.
func (s *server) fires(name, description string) func() bool {
	return func() bool {
		got := s.alert(name)
		return got != "" && strings.HasPrefix(got, description)
	}
}

func (s *server) silent(name string) func() bool {
	return func() bool { return !s.fires(name, "")() }
}

// await waits until a condition holds.
func (s *server) await(what string, holds func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("after 30 seconds: want %s", what)
		}
	}
}
