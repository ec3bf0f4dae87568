// SPDX-License-Identifier: Apache-2.0

package application

import (
	"os"
	"testing"

	"github.com/executorpods/watchsource/integration/cluster"
)

var server *cluster.Cluster

func TestMain(m *testing.M) {
	os.Exit(cluster.RunTests(m, func(c *cluster.Cluster) { server = c }))
}
