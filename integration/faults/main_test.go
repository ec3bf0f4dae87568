// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/executorpods/watchsource/integration/cluster"
	"k8s.io/klog/v2"
)

var (
	seed   = flag.Int64("seed", 0, "what the faults, their order and the life of the pods are drawn from; 0 for the time of day")
	rounds = flag.Int("rounds", len(faults), "how many faults strike")
	only   = flag.String("only", "", "let no faults strike but those with this in their name")
	long   = flag.Bool("long", false, "also run the test that takes six minutes")
)

// server is the one API server of all tests.
var server *cluster.Cluster

func TestMain(m *testing.M) {
	code, err := runTests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func runTests(m *testing.M) (code int, err error) {
	flag.Parse()
	if *seed == 0 {
		*seed = time.Now().UnixNano()
	}
	// The informer logs each of its troubles.
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)

	interrupted, stopListening := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stopListening()
	server, err = cluster.Start(interrupted, func(line string) { fmt.Fprintln(os.Stderr, line) })
	if err != nil {
		return 0, err
	}
	// Should a run end in any other way, the servers notice and end by themselves.
	forget := context.AfterFunc(interrupted, func() {
		server.Stop()
		os.Exit(1)
	})
	code = m.Run()
	forget()
	return code, server.Stop()
}
