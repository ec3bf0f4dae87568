// SPDX-License-Identifier: Apache-2.0

package command

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"
)

const contexts = `
apiVersion: v1
kind: Config
clusters:
- {name: near, cluster: {server: "http://127.0.0.1:1"}}
- {name: nowhere, cluster: {}}
contexts:
- {name: good, context: {cluster: near, namespace: jobs}}
- {name: bad, context: {cluster: missing}}
- {name: empty, context: {}}
- {name: serverless, context: {cluster: nowhere}}
`

// file writes a file and returns its path.
func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// The error says why no cluster is chosen. FILE is the kubeconfig. In the rows without an error
// want is the server.
func TestKubeconfig(t *testing.T) {
	const choose = "name another file with --kubeconfig or $KUBECONFIG, or name the API server with --server"
	const names = "the contexts are bad, empty, good, serverless"
	for _, row := range []struct{ content, args, want string }{
		{"", "", "the kubeconfig FILE has no contexts: " + choose},
		{"kind: Config", "-n jobs -A", "the kubeconfig FILE has no contexts: " + choose},
		{contexts, "", "the kubeconfig FILE has no current context: choose one with --context or kubectl config use-context, or name the API server with --server; " + names},
		{contexts, "--context other", `the context "other" does not exist in the kubeconfig FILE: ` + names},
		{contexts, "--context other -s http://127.0.0.1:1", `the context "other" does not exist in the kubeconfig FILE: ` + names},
		{contexts + "current-context: gone", "", `the context "gone" does not exist in the kubeconfig FILE: ` + names},
		{"", "--context other", `the context "other" does not exist in the kubeconfig FILE: it has no contexts`},
		{contexts, "--context bad", `the cluster "missing" does not exist in the kubeconfig FILE: the clusters are near, nowhere`},
		{contexts, "--cluster other", `the cluster "other" does not exist in the kubeconfig FILE: the clusters are near, nowhere`},
		{contexts, "--context empty", `the context "empty" of the kubeconfig FILE names no cluster`},
		{contexts, "--context serverless", `the cluster "nowhere" of the kubeconfig FILE has no server`},
		{contexts, "--context good", "http://127.0.0.1:1"},
		{contexts + "current-context: good", "", "http://127.0.0.1:1"},
		{contexts, "--cluster near", "http://127.0.0.1:1"},
		{contexts, "-s http://127.0.0.1:1", "http://127.0.0.1:1"},
		{contexts, "--context bad -s http://127.0.0.1:1", "http://127.0.0.1:1"},
		{"", "-s http://127.0.0.1:1", "http://127.0.0.1:1"},
		{": ][", "", `read the kubeconfig: error loading config file "FILE": yaml: `},
		{contexts, "--context good --request-timeout=x", "read the kubeconfig: Invalid timeout value"},
	} {
		t.Run(row.args, func(t *testing.T) {
			path := file(t, row.content)
			t.Setenv("KUBECONFIG", path)
			config, err := restConfigOf(t, nil, row.args)
			want := strings.ReplaceAll(row.want, "FILE", path)
			switch {
			case err == nil && config.Host != want:
				t.Errorf("got the server %q, want %q", config.Host, want)
			case err != nil && !strings.HasPrefix(err.Error(), want):
				t.Errorf("got %q, want %q", err, want)
			}
		})
	}
}

// restConfigOf returns the configuration for a command line. The function returns the one of a pod.
func restConfigOf(t *testing.T, inCluster func() (*rest.Config, error), args string) (*rest.Config, error) {
	t.Helper()
	o := newOptions(genericiooptions.IOStreams{})
	if inCluster != nil {
		o.inCluster = inCluster
	}
	if err := o.command().ParseFlags(strings.Fields(args)); err != nil {
		t.Fatal(err)
	}
	return o.restConfig()
}

func TestNoKubeconfig(t *testing.T) {
	t.Setenv("KUBECONFIG", "/nonexistent/a:/nonexistent/b")
	code, out, errOut := runCommand(t, "app-a")
	if want := "error: no kubeconfig was found. These places were looked at:\n" +
		"  /nonexistent/a, from $KUBECONFIG: does not exist\n" +
		"  /nonexistent/b, from $KUBECONFIG: does not exist\n" +
		"  the service account of a pod: this is no pod, or it has no token\n" +
		"Name a file with --kubeconfig or $KUBECONFIG, or name the API server with --server\n"; code != exitError || out != "" || errOut != want {
		t.Errorf("code %d, %q and on stderr\n%swant %d and\n%s", code, out, errOut, exitError, want)
	}

	code, _, errOut = runCommand(t, "app-a", "--kubeconfig=/nonexistent/c")
	if want := "error: read the kubeconfig: stat /nonexistent/c: no such file or directory\n"; code != exitError || errOut != want {
		t.Errorf("code %d and %q, want %d and %q", code, errOut, exitError, want)
	}
}

// In a pod the command uses the service account, with the flags that say how to connect.
func TestInCluster(t *testing.T) {
	t.Setenv("KUBECONFIG", "/nonexistent/kubeconfig")
	for _, row := range []struct {
		args    string
		host    string
		token   string
		timeout time.Duration
		as      string
	}{
		{"", "https://10.0.0.1", "of the account", 0, ""},
		{"--request-timeout=7s --as=me", "https://10.0.0.1", "of the account", 7 * time.Second, "me"},
		{"--token=mine", "https://10.0.0.1", "mine", 0, ""},
		{"-s http://127.0.0.1:1 --request-timeout=7s", "http://127.0.0.1:1", "", 7 * time.Second, ""},
	} {
		t.Run(row.args, func(t *testing.T) {
			config, err := restConfigOf(t, func() (*rest.Config, error) {
				return &rest.Config{Host: "https://10.0.0.1", BearerToken: "of the account", BearerTokenFile: "/var/run/token"}, nil
			}, row.args)
			if err != nil {
				t.Fatal(err)
			}
			if config.Host != row.host || config.BearerToken != row.token || config.Timeout != row.timeout || config.Impersonate.UserName != row.as {
				t.Errorf("got %+v, want the host %q, the token %q, the timeout %s and the user %q", config, row.host, row.token, row.timeout, row.as)
			}
			if row.token == "mine" && config.BearerTokenFile != "" {
				t.Errorf("got the token's file %q, which client-go prefers, want none", config.BearerTokenFile)
			}
		})
	}
}

// --request-timeout bounds the wait for the first view. As the timeout of the client it would end
// each watch.
func TestRequestTimeout(t *testing.T) {
	t.Setenv("KUBECONFIG", "/dev/null")
	o := newOptions(genericiooptions.IOStreams{})
	if err := o.command().ParseFlags([]string{"--request-timeout=7s", "-s", "http://127.0.0.1:1"}); err != nil {
		t.Fatal(err)
	}
	target, err := o.connect()
	if err != nil {
		t.Fatal(err)
	}
	client, ok := target.client.CoreV1().RESTClient().(*rest.RESTClient)
	if !ok || client.Client.Timeout != 0 || target.startTimeout != 7*time.Second {
		t.Errorf("got the timeout %s of the start and the client %+v, want 7s and no timeout", target.startTimeout, client)
	}

	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	code, _, errOut := runCommand(t, "app-a", "--request-timeout=50ms", "-s", "http://"+silent.Addr().String())
	if code != exitError || !strings.Contains(errOut, "50ms") {
		t.Errorf("code %d and %q, want %d and the time in the error", code, errOut, exitError)
	}
}
