// SPDX-License-Identifier: Apache-2.0

// The command example is an operator for WorkerJobs. It reads no pod through the manager's cache.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/controller/example/workerjob"
)

// settings are the flags of the program, beside -kubeconfig.
type settings struct {
	namespace, metrics, probes string
	lease                      time.Duration
}

func main() {
	var s settings
	flag.StringVar(&s.namespace, "namespace", "default", "the namespace of the jobs, the pods and the lease")
	flag.StringVar(&s.metrics, "metrics-bind-address", "0", "where to serve metrics, 0 for nowhere")
	flag.StringVar(&s.probes, "health-probe-bind-address", "0", "where to serve /healthz, 0 for nowhere")
	flag.DurationVar(&s.lease, "lease", 15*time.Second, "how long the lease of the leader lasts")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "there are flags only, no arguments; -h shows the flags")
		os.Exit(2)
	}
	if err := run(ctrl.SetupSignalHandler(), s); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings) error {
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("found no cluster, give -kubeconfig, set KUBECONFIG or run in a pod: %w", err)
	}
	ctrl.SetLogger(zap.New())
	config.QPS = -1 // the API server limits its clients itself
	mgr, err := ctrl.NewManager(config, s.options())
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
	if err != nil {
		return err
	}
	pods := workerjob.NewWatch(client, watchsource.WithNamespace(s.namespace))
	if err := metrics.Registry.Register(pods.Collector()); err != nil {
		return err
	}
	if err := mgr.AddReadyzCheck("ping", healthz.Ping); err != nil {
		return err
	}
	if err := workerjob.Setup(mgr, pods); err != nil {
		return err
	}
	return mgr.Start(ctx)
}

func (s settings) options() ctrl.Options {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, workerjob.AddToScheme} {
		if err := add(scheme); err != nil {
			panic(err) // the types of the program contradict each other
		}
	}
	renew, retry := s.lease*2/3, s.lease/6
	return ctrl.Options{
		Scheme:                        scheme,
		Cache:                         cache.Options{DefaultNamespaces: map[string]cache.Config{s.namespace: {}}},
		Metrics:                       metricsserver.Options{BindAddress: s.metrics},
		HealthProbeBindAddress:        s.probes,
		LeaderElection:                true,
		LeaderElectionID:              "workerjobs.batch.example.com",
		LeaderElectionNamespace:       s.namespace,
		LeaderElectionReleaseOnCancel: true,
		LeaseDuration:                 &s.lease,
		RenewDeadline:                 &renew,
		RetryPeriod:                   &retry,
	}
}
