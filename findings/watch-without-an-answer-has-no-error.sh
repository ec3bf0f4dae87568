#!/usr/bin/env bash
# client-go's Watch returns no error if the server closes the connection before it answers, or does
# not answer within rest.Config.Timeout. It returns a watch whose channel is closed, which looks like
# a watch that the server has ended in good order. List returns the error in both cases, and so does
# Watch if the deadline is that of the context.
# A program that watches again as soon as a watch has ended asks such a server without a pause. Count
# a watch that ends at once, and without an event, as an error.
#
# Seen with k8s.io/client-go 0.37.2. Needs Go 1.26.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOFLAGS=-mod=mod GOWORK=off
cat >main.go <<'GO'
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const limit = 2 * time.Second

func main() {
	hangsUp := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	isSilent := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	try("hangs up", hangsUp, 0, 0)
	try("is silent, rest.Config.Timeout", isSilent, limit, 0)
	try("is silent, deadline of the context", isSilent, 0, limit)
}

func try(name string, handler http.HandlerFunc, timeout, deadline time.Duration) {
	server := httptest.NewServer(handler)
	defer server.Close()
	defer server.CloseClientConnections()
	pods := kubernetes.NewForConfigOrDie(&rest.Config{Host: server.URL, Timeout: timeout}).CoreV1().Pods("default")
	until := func() context.Context {
		ctx := context.Background()
		if deadline > 0 {
			ctx, _ = context.WithTimeout(ctx, deadline)
		}
		return ctx
	}
	_, err := pods.List(until(), metav1.ListOptions{})
	fmt.Printf("%s: List %s\n", name, text(err))
	watch, err := pods.Watch(until(), metav1.ListOptions{})
	fmt.Printf("%s: Watch %s", name, text(err))
	if err == nil {
		_, open := <-watch.ResultChan()
		fmt.Printf(", channel open %t", open)
	}
	fmt.Println()
}

func text(err error) string {
	switch {
	case err == nil:
		return "nil"
	case errors.Is(err, io.EOF):
		return "EOF"
	case errors.Is(err, context.DeadlineExceeded):
		return "deadline exceeded"
	default:
		return err.Error()
	}
}
GO
go mod init finding >log 2>&1
go get k8s.io/api@v0.37.2 k8s.io/apimachinery@v0.37.2 k8s.io/client-go@v0.37.2 >log 2>&1 || { tail log; exit 1; }
go mod tidy >log 2>&1 || { tail log; exit 1; }
go build -o main . 2>log || { tail log; exit 1; }
./main 2>log | tee out
diff out - <<'OUT' || { echo "the behaviour has changed"; exit 1; }
hangs up: List EOF
hangs up: Watch nil, channel open false
is silent, rest.Config.Timeout: List deadline exceeded
is silent, rest.Config.Timeout: Watch nil, channel open false
is silent, deadline of the context: List deadline exceeded
is silent, deadline of the context: Watch deadline exceeded
OUT
