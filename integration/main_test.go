// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/executorpods/watchsource/integration/cluster"
)

// server is the one API server of all tests. Each test has a namespace of its
// own in it.
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
	interrupted, stopListening := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stopListening()
	server, err = cluster.Start(interrupted, func(line string) { fmt.Fprintln(os.Stderr, line) })
	if err != nil {
		return 0, err
	}
	returned := stopWhenCutShort(interrupted)
	code = m.Run()
	returned()
	return code, server.Stop()
}

// stopWhenCutShort keeps the server from outliving a run that is interrupted or
// that is about to be ended by go test's timeout, neither of which returns from
// m.Run. The function that it returns says that the run has returned.
func stopWhenCutShort(interrupted context.Context) (returned func()) {
	forget := context.AfterFunc(interrupted, func() {
		server.Stop()
		os.Exit(1)
	})
	flag.Parse()
	timeout := flag.Lookup("test.timeout").Value.(flag.Getter).Get().(time.Duration)
	if timeout == 0 {
		return func() { forget() }
	}
	const stopping = 5 * time.Second
	timer := time.AfterFunc(timeout-stopping, func() { server.Stop() })
	return func() {
		forget()
		timer.Stop()
	}
}
