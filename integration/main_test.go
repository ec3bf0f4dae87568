// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"os"
	"testing"

	"github.com/executorpods/watchsource/integration/cluster"
)

// server is the one API server of all tests. Each test has a namespace of its
// own in it.
var server *cluster.Cluster

func TestMain(m *testing.M) {
	os.Exit(cluster.RunTests(m, func(c *cluster.Cluster) { server = c }))
}
