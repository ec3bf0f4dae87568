// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"flag"
	"io"
	"os"
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
	flag.Parse()
	if *seed == 0 {
		*seed = time.Now().UnixNano()
	}
	// The informer logs each of its troubles.
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
	os.Exit(cluster.RunTests(m, func(c *cluster.Cluster) { server = c }))
}
