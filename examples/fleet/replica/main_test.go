// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Each error says what to do. Without a cluster it says where a kubeconfig was looked for.
func TestErrorsForANewcomer(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	apps, empty := write("apps.txt", "app-1\napp-2\n"), write("empty.txt", "\n")
	config := write("config", "apiVersion: v1\nkind: Config\n")
	t.Setenv("KUBECONFIG", "/no/a:/no/b")
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	for _, tt := range []struct {
		args string
		code int
		want string
	}{
		{"-h", 0, "Usage: replica -apps path [flags]\n"},
		{"-typo", 2, "flag provided but not defined: -typo\nRuns one replica of a fleet"},
		{"", 2, "replica: -apps must be the path of a file with one application id per line; -h shows the flags\n"},
		{"apps.txt", 2, "replica: there are flags only, no arguments; -h shows the flags\n"},
		{"-apps a -name=", 2, "replica: -name, -fleet and -namespace must not be empty; -h shows the flags\n"},
		{"-apps /no/file", 1, "replica: read the applications, see -apps: open /no/file: no such file or directory\n"},
		{"-apps " + empty, 1, "replica: read the applications, see -apps: " + empty + " is empty\n"},
		{"-by-namespace -apps " + apps, 1, "replica: read the applications, see -apps: \"app-1\" is not NAMESPACE/ID\n"},
		{"-apps " + apps, 1, "replica: found no cluster: give -kubeconfig or set KUBECONFIG (looked at /no/a, /no/b), or run in a pod\n"},
		{"-kubeconfig " + config + " -apps " + apps, 1, "(looked at " + config + "), or run in a pod\n"},
		{"-kubeconfig /no/c -apps " + apps, 1, "replica: read the kubeconfig: stat /no/c: no such file or directory\n"},
	} {
		var stdout, stderr strings.Builder
		code := run(t.Context(), strings.Fields(tt.args), &stdout, &stderr)
		if code != tt.code || !strings.Contains(stderr.String(), tt.want) || stdout.Len() > 0 {
			t.Errorf("%s: code %d, %q on stderr, %q on stdout; want %d, %q, nothing",
				tt.args, code, stderr.String(), stdout.String(), tt.code, tt.want)
		}
	}
}

func TestReadApplications(t *testing.T) {
	path := filepath.Join(t.TempDir(), "apps.txt")
	if err := os.WriteFile(path, []byte("jobs/app-1\nteam-a/app-2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ids, namespaces, err := readApplications(path, true)
	if err != nil || !slices.Equal(ids, []string{"app-1", "app-2"}) || namespaces["app-1"] != "jobs" || namespaces["app-2"] != "team-a" {
		t.Errorf("%q in %v, error %v", ids, namespaces, err)
	}
}
