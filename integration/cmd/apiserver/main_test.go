// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func write(t *testing.T, mode os.FileMode, path ...string) {
	t.Helper()
	name := filepath.Join(path...)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte("\x7fELF of another machine"), mode); err != nil {
		t.Fatal(err)
	}
}

// A wrong KUBEBUILDER_ASSETS is an error before anything is built or started. It names the variable, each
// path and what is wrong with it.
func TestWrongAssets(t *testing.T) {
	dir := t.TempDir()
	write(t, 0o644, dir, "file")
	write(t, 0o755, dir, "foreign", "etcd")
	write(t, 0o644, dir, "locked", "etcd")
	write(t, 0o644, dir, "locked", "kube-apiserver")
	for _, tt := range []struct {
		assets string
		want   []string
	}{
		{"none", []string{"/none is not a directory"}},
		{"file", []string{"/file is not a directory"}},
		{".", []string{"/etcd does not run: ", "/kube-apiserver does not run: ", "no such file or directory"}},
		{"foreign", []string{"/foreign/etcd does not run: ", "exec format error", "/foreign/kube-apiserver does not run: ", "no such file"}},
		{"locked", []string{"/locked/etcd does not run: ", "permission denied", "/locked/kube-apiserver does not run: "}},
	} {
		t.Setenv("KUBEBUILDER_ASSETS", filepath.Join(dir, tt.assets))
		var stdout, stderr strings.Builder
		code := run(t.Context(), []string{"-kubeconfig", filepath.Join(dir, "config")}, &stdout, &stderr)
		want := append(append([]string{"apiserver: KUBEBUILDER_ASSETS: "}, tt.want...),
			"; it must name a directory with etcd and kube-apiserver, and without it they are built\n")
		if code != 1 || stdout.Len() > 0 || !hasInOrder(stderr.String(), want) {
			t.Errorf("%s: code %d, stdout %q, stderr %q; want 1, nothing, %q", tt.assets, code, stdout.String(), stderr.String(), want)
		}
	}
}

func hasInOrder(text string, parts []string) bool {
	for _, part := range parts {
		_, rest, found := strings.Cut(text, part)
		if !found {
			return false
		}
		text = rest
	}
	return true
}

// Wrong flags are errors before anything is built. A file that the command has not written stays.
func TestUsage(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("KUBEBUILDER_ASSETS", "/no/assets") // so that a mistake of the test starts nothing
	write(t, 0o600, dir, "text")
	files := map[string]string{
		"other":  "apiVersion: v1\nkind: Config\nclusters: [{name: mine, cluster: {server: 'https://mine'}}]\n",
		"merged": "apiVersion: v1\nkind: Config\nclusters: [{name: mine, cluster: {server: 'https://mine'}}, {name: watchsource, cluster: {server: 'https://127.0.0.1'}}]\n",
		"values": "replicas: 3\n",
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		args string
		code int
		want string
	}{
		{"-h", 0, "Usage: apiserver [flags]\n\n  -kubeconfig file\n"},
		{"-typo", 2, "flag provided but not defined: -typo\nRuns etcd and kube-apiserver"},
		{"now", 2, "apiserver: there are flags only, no arguments; -h shows the flags\n"},
		{"-server 1.34", 2, "invalid value \"1.34\" for flag -server: \"1.34\" is not a version of Kubernetes like v1.34.4\n"},
		{"-store files", 2, "invalid value \"files\" for flag -store: not one of [\"etcd\" \"kine-sqlite\" \"kine-postgres\"]\n"},
		{"-kubeconfig " + dir + "/text/config", 1, "apiserver: -kubeconfig: mkdir " + dir + "/text: not a directory\n"},
		{"-kubeconfig " + dir + "/text", 1, "/text is there already and is not of this command, which would remove it; name another file\n"},
		{"-kubeconfig " + dir + "/merged", 1, "/merged is there already and is not of this command, which would remove it; name another file\n"},
		{"-kubeconfig " + dir + "/values", 1, "/values is there already and is not of this command, which would remove it; name another file\n"},
		{"-kubeconfig " + dir + "/other", 1, "/other is there already and is not of this command, which would remove it; name another file\n"},
	} {
		var stdout, stderr strings.Builder
		code := run(t.Context(), strings.Fields(tt.args), &stdout, &stderr)
		if code != tt.code || stdout.Len() > 0 || strings.Count(stderr.String(), tt.want) != 1 {
			t.Errorf("%s: code %d, stdout %q, stderr %q; want %d, nothing, %q once",
				tt.args, code, stdout.String(), stderr.String(), tt.code, tt.want)
		}
	}
	for name, want := range files {
		if got, err := os.ReadFile(filepath.Join(dir, name)); string(got) != want || err != nil {
			t.Errorf("the file %s is now %q, error %v", name, got, err)
		}
	}
}

// Ctrl-C during a build ends the build, and leaves no kubeconfig.
func TestInterruptedBuild(t *testing.T) {
	cache, err := exec.CommandContext(t.Context(), "go", "env", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOCACHE", strings.TrimSpace(string(cache)))
	t.Setenv("KUBEBUILDER_ASSETS", "")
	t.Setenv("XDG_CACHE_HOME", t.TempDir()) // has no programs
	kubeconfig := filepath.Join(t.TempDir(), "config")
	ctx, interrupt := context.WithCancel(t.Context())
	var stderr strings.Builder
	code := run(ctx, []string{"-kubeconfig", kubeconfig}, onWrite(interrupt), &stderr)
	if code != 1 || stderr.String() != "apiserver: interrupted before the server was up\n" {
		t.Errorf("code %d, stderr %q", code, stderr.String())
	}
	if _, err := os.Stat(kubeconfig); err == nil {
		t.Error("the kubeconfig is still there")
	}
}

// onWrite is a writer that calls a function: the command prints that it builds.
type onWrite func()

func (f onWrite) Write(p []byte) (int, error) {
	f()
	return len(p), nil
}
