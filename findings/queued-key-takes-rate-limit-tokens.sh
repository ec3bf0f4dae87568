#!/usr/bin/env bash
# AddRateLimited of client-go's workqueue takes a token of the limiter's bucket for each call, also if
# the key already waits in the queue. The queue merges the calls into one item, but the tokens are
# gone, and the bucket is common to all keys. With the default limiter of controllers (10 a second,
# 100 at once) 3,000 events of one object's pods make the next key wait for almost five minutes, while
# the object itself is handled once.
# An event handler should call Add, which merges without the limiter. AddRateLimited is for the
# retries of a reconcile.
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
	"fmt"
	"time"

	"k8s.io/client-go/util/workqueue"
)

// recorded notes the delay that the limiter gives to each key.
type recorded struct {
	workqueue.TypedRateLimiter[string]
	last map[string]time.Duration
}

func (r recorded) When(key string) time.Duration {
	d := r.TypedRateLimiter.When(key)
	r.last[key] = d
	return d
}

func main() {
	limiter := recorded{workqueue.DefaultTypedControllerRateLimiter[string](), map[string]time.Duration{}}
	queue := workqueue.NewTypedRateLimitingQueue[string](limiter)
	queue.Add("busy")
	for range 3000 {
		queue.AddRateLimited("busy")
	}
	fmt.Println("items that are ready:", queue.Len())
	queue.AddRateLimited("quiet")
	fmt.Println("the quiet key waits for minutes:", int(limiter.last["quiet"].Minutes()))
	queue.Add("added")
	fmt.Println("items that are ready after Add:", queue.Len())
}
GO
go mod init finding >log 2>&1
go get k8s.io/client-go@v0.37.2 >log 2>&1 || { tail log; exit 1; }
go mod tidy >log 2>&1 || { tail log; exit 1; }
seen=$(go run .)
echo "$seen"
want='items that are ready: 1
the quiet key waits for minutes: 4
items that are ready after Add: 2'
[ "$seen" = "$want" ] || { echo "this has changed"; exit 1; }
