// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// RunTests runs the tests of a package, a testing.M, on a Cluster that it hands
// to use first, and returns the code to exit with. The flags -server and -store choose
// the version of its API server and the store.
func RunTests(tests interface{ Run() int }, use func(*Cluster)) (code int) {
	code, err := runTests(tests, use)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

func runTests(tests interface{ Run() int }, use func(*Cluster)) (code int, err error) {
	interrupted, stopListening := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stopListening()
	flag.Parse()
	c, err := Start(interrupted, chosen, func(line string) { fmt.Fprintln(os.Stderr, line) })
	if err != nil {
		return 0, err
	}
	use(c)
	returned := c.stopWhenCutShort(interrupted)
	code = tests.Run()
	returned()
	return code, c.Stop()
}

// stopWhenCutShort keeps the cluster from outliving a run that is interrupted or
// that is about to be ended by go test's timeout, neither of which returns from
// Run. The function that it returns says that the run has returned.
func (c *Cluster) stopWhenCutShort(interrupted context.Context) (returned func()) {
	forget := context.AfterFunc(interrupted, func() {
		c.Stop()
		os.Exit(1)
	})
	timeout := flag.Lookup("test.timeout").Value.(flag.Getter).Get().(time.Duration)
	if timeout == 0 {
		return func() { forget() }
	}
	const stopping = 5 * time.Second
	timer := time.AfterFunc(timeout-stopping, func() { c.Stop() })
	return func() {
		forget()
		timer.Stop()
	}
}
