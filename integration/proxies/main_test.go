// SPDX-License-Identifier: Apache-2.0

package proxies

import (
	"flag"
	"os"
	"testing"
	"time"

	"github.com/executorpods/watchsource/integration/cluster"
)

var (
	length  = flag.Duration("length", 20*time.Second, "how long each case watches")
	watches = flag.Bool("watches", false, "print every watch of every case, not only of those that fail")
)

// quiet is the API server where nothing happens but what a test does.
var quiet *cluster.Cluster

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(cluster.RunTests(m, func(c *cluster.Cluster) { quiet = c }))
}
