#!/usr/bin/env bash
# kubectl get --watch ends with exit code 0 and without a message when its watch ends, also when the
# connection breaks in the middle of the answer. It does not watch again. A script that reads its
# output cannot distinguish an outage from the end that it waits for. kube-apiserver ends each watch
# by itself after 30 to 60 minutes.
#
# Seen with k8s.io/kubectl 0.37.2 and an API server of a few lines that counts the watches. Needs Go 1.26.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOFLAGS=-mod=mod GOWORK=off
cat >main.go <<'GO'
package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"

	"k8s.io/kubectl/pkg/cmd"
)

const table = `{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"1"},"columnDefinitions":[{"name":"Name","type":"string"}],"rows":[{"cells":["exec-1"],"object":{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"name":"exec-1","namespace":"default"}}}]}`

const pods = `{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[{"metadata":{"name":"exec-1","namespace":"default"}}]}`

// newServer returns an API server with one pod. watch answers the watches.
func newServer(watch http.HandlerFunc) *httptest.Server {
	mux := http.NewServeMux()
	answer := func(path, body string) {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, body)
		})
	}
	answer("/api", `{"kind":"APIVersions","versions":["v1"]}`)
	answer("/apis", `{"kind":"APIGroupList","apiVersion":"v1","groups":[]}`)
	answer("/api/v1", `{"kind":"APIResourceList","groupVersion":"v1","resources":[{"name":"pods","singularName":"pod","namespaced":true,"kind":"Pod","verbs":["get","list","watch"]}]}`)
	mux.HandleFunc("/api/v1/namespaces/default/pods", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case r.URL.Query().Get("watch") != "":
			watch(w, r)
		case strings.Contains(r.Header.Get("Accept"), "as=Table"):
			fmt.Fprint(w, table)
		default:
			fmt.Fprint(w, pods)
		}
	})
	return httptest.NewServer(mux)
}

// kubectl returns a command that runs this program as kubectl.
func kubectl(server string, args ...string) *exec.Cmd {
	c := exec.Command(os.Args[0], append(args, "--server", server, "--cache-dir", "cache")...)
	c.Env = append(os.Environ(), "AS_KUBECTL=1", "KUBECONFIG=/dev/null")
	return c
}

func main() {
	if os.Getenv("AS_KUBECTL") != "" {
		if cmd.NewDefaultKubectlCommand().Execute() != nil {
			os.Exit(1)
		}
		return
	}
	for _, end := range []string{"ends in good order", "breaks"} {
		watches := 0
		server := newServer(func(w http.ResponseWriter, r *http.Request) {
			watches++
			w.(http.Flusher).Flush()
			if end == "breaks" {
				panic(http.ErrAbortHandler)
			}
		})
		c := kubectl(server.URL, "get", "pods", "--watch")
		var stderr strings.Builder
		c.Stderr = &stderr
		out, err := c.Output()
		fmt.Printf("the watch %s: %v, %d watch, stdout %q, stderr %q, error %v\n", end, c.ProcessState, watches, out, stderr.String(), err)
		server.Close()
	}
}
GO
go mod init finding >log 2>&1
go get k8s.io/kubectl@v0.37.2 >log 2>&1 || { tail log; exit 1; }
go mod tidy >log 2>&1 || { tail log; exit 1; }
go build -o finding .
seen=$(./finding)
echo "$seen"
want='the watch ends in good order: exit status 0, 1 watch, stdout "NAME\nexec-1\n", stderr "", error <nil>
the watch breaks: exit status 0, 1 watch, stdout "NAME\nexec-1\n", stderr "", error <nil>'
[ "$seen" = "$want" ] || { echo "this has changed"; exit 1; }
