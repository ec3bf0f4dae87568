// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"flag"
	"os"
	"testing"

	"github.com/executorpods/watchsource/integration/cluster"
)

// server is the one API server of all tests. Each test has a namespace of its
// own in it.
var server *cluster.Cluster

// long makes the tests run that wait for most of their time.
var long = flag.Duration("long", 0, "how long TestIdleApplication and TestServerWithoutItsStore watch an idle application, for example 10m; 0 skips them")

func TestMain(m *testing.M) {
	os.Exit(cluster.RunTests(m, func(c *cluster.Cluster) { server = c }))
}
