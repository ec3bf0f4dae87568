#!/usr/bin/env bash
# If the disk is full, kubectl get fails with -o json and -o yaml, but not with a table, with -o name or
# with -o custom-columns: these print nothing, say nothing, and the exit code is 0. A script that
# saves the names of its pods for later gets an empty file and no error.
#
# Seen with k8s.io/kubectl 0.37.2 on Linux, whose /dev/full is always full. Needs Go 1.26.
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
	server := newServer(http.NotFound)
	defer server.Close()
	for _, format := range []string{"json", "yaml", "go-template={{.kind}}", "name", "wide", "custom-columns=NAME:.metadata.name"} {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			panic(err)
		}
		c := kubectl(server.URL, "get", "pods", "-o", format)
		var stderr strings.Builder
		c.Stdout, c.Stderr = full, &stderr
		_ = c.Run() // c.ProcessState has the exit code
		fmt.Printf("-o %s: %v, says that the disk is full: %t\n", format, c.ProcessState, strings.Contains(stderr.String(), "no space left"))
		full.Close()
	}
}
GO
go mod init finding >log 2>&1
go get k8s.io/kubectl@v0.37.2 >log 2>&1 || { tail log; exit 1; }
go mod tidy >log 2>&1 || { tail log; exit 1; }
go build -o finding .
seen=$(./finding)
echo "$seen"
want='-o json: exit status 1, says that the disk is full: true
-o yaml: exit status 1, says that the disk is full: true
-o go-template={{.kind}}: exit status 1, says that the disk is full: true
-o name: exit status 0, says that the disk is full: false
-o wide: exit status 0, says that the disk is full: false
-o custom-columns=NAME:.metadata.name: exit status 0, says that the disk is full: false'
[ "$seen" = "$want" ] || { echo "this has changed"; exit 1; }
