// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"flag"
	"fmt"
	"io"
	"log/slog"
	"time"
)

// Limits that a user does not need to change. Spark's are longer, because its executors
// take minutes to start and hours to work.
const (
	batchInterval  = 100 * time.Millisecond // the shortest time between two batches
	tickInterval   = time.Second            // between two actions without a change
	backlogLimit   = 10_000                 // changes that may wait for the next batch
	upTimeout      = time.Minute            // for all executors to be up
	requestTimeout = 10 * time.Second       // for one request to the API server
	seenTimeout    = 5 * time.Second        // for the last creations to appear in the view
	cleanUpTimeout = 30 * time.Second       // for the pods to be gone at the end
)

// config contains the values of the flags.
type config struct {
	appID       string
	apps        int // more than 1: they share a watch
	executors   int
	runFor      time.Duration
	maxFailures int
	image       string
	namespace   string
	kubeconfig  string
	inCluster   bool
	http        string // address of /healthz and /metrics, "" for none
	ui          bool   // show the screen
	logLevel    slog.Level

	work  func(executorID int) work
	views Views
}

func parseFlags(args []string, stderr io.Writer, views Views) (config, error) {
	c := config{apps: 1, work: demoWork, views: views}
	flags := flag.NewFlagSet("scheduler", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprintf(stderr, "Keeps executor pods alive for an application, on an embedded cluster\nunless told to use a real one.\n\nUsage: scheduler [flags]\n\n")
		flags.PrintDefaults()
	}
	flags.StringVar(&c.appID, "app", "", "application `id`; give that of an earlier run to adopt the executors it left (default \"spark-\" and the time)")
	flags.IntVar(&c.executors, "executors", 5, "`number` of executors to keep alive")
	if views.Metrics == nil && views.Screen == nil { // both show one application
		flags.IntVar(&c.apps, "apps", 1, "`number` of applications, which share one watch; their ids are that of -app with -1, -2, ...")
	}
	flags.DurationVar(&c.runFor, "for", 8*time.Second, "`time` the application works once all executors are up")
	flags.IntVar(&c.maxFailures, "max-failures", 10, "`number` of failed executors that is still tolerated")
	flags.StringVar(&c.image, "image", "busybox", "container `image` of the executors; it needs a sh")
	flags.StringVar(&c.namespace, "namespace", "", "`namespace` of the executors (default that of the kubeconfig's context, or of the pod)")
	flags.StringVar(&c.kubeconfig, "kubeconfig", "", "`path` of a kubeconfig: run on that cluster")
	flags.BoolVar(&c.inCluster, "in-cluster", false, "run on the cluster that this pod is in (default where KUBERNETES_SERVICE_HOST is set and -kubeconfig is not)")
	flags.StringVar(&c.http, "http", "", "serve "+paths(views)+" on this `address`, for example :8080")
	if views.Screen != nil {
		flags.BoolVar(&c.ui, "ui", false, "show the executors on a live screen instead of lines")
	}
	verbose := flags.Bool("v", false, "show the library's debug log")
	if err := flags.Parse(args); err != nil {
		return config{}, err
	}
	if c.appID == "" {
		c.appID = "spark-" + time.Now().UTC().Format("20060102-150405")
	}
	if *verbose {
		c.logLevel = slog.LevelDebug
	}
	if err := c.check(flags.NArg()); err != nil {
		fmt.Fprintf(stderr, "scheduler: %v; -h shows the flags\n", err)
		return config{}, err
	}
	return c, nil
}

// paths returns what -http serves, for its description.
func paths(views Views) string {
	const health = "/healthz, for a liveness probe,"
	if views.Metrics == nil {
		return health
	}
	return health + " and /metrics"
}

func (c config) check(arguments int) error {
	switch {
	case arguments > 0:
		return fmt.Errorf("there are flags only, no arguments")
	case c.apps < 1:
		return fmt.Errorf("-apps must be at least 1, not %d", c.apps)
	case c.executors < 1:
		return fmt.Errorf("-executors must be at least 1, not %d", c.executors)
	case c.maxFailures < 0:
		return fmt.Errorf("-max-failures must not be negative, as %d is", c.maxFailures)
	case c.runFor < 0:
		return fmt.Errorf("-for must not be negative, as %v is", c.runFor)
	case c.kubeconfig != "" && c.inCluster:
		return fmt.Errorf("-kubeconfig and -in-cluster exclude each other")
	default:
		return nil
	}
}
