// SPDX-License-Identifier: Apache-2.0

// Command apiserver runs a Kubernetes API server on the loopback interface
// until it is interrupted, with a pretended node on which pods seem to run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/executorpods/watchsource/integration/cluster"
	"github.com/executorpods/watchsource/integration/kubelet"
	"k8s.io/client-go/kubernetes"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch err := run(ctx, os.Stdout, os.Args[1:]); {
	case errors.Is(err, flag.ErrHelp):
	case errors.Is(err, context.Canceled):
	case err != nil:
		fmt.Fprintln(os.Stderr, "apiserver:", err)
		os.Exit(1)
	}
}

type options struct {
	kubeconfig string
	kubelet    bool
	setup      cluster.Setup
}

func parse(args []string) (options, error) {
	// envtest's dependencies put flags of their own into flag.CommandLine.
	flags := flag.NewFlagSet("apiserver", flag.ContinueOnError)
	var o options
	flags.StringVar(&o.kubeconfig, "kubeconfig", filepath.Join(os.TempDir(), "watchsource.kubeconfig"), "write a kubeconfig to this `file`")
	flags.BoolVar(&o.kubelet, "kubelet", true, "pretend a node, without which every pod stays Pending")
	o.setup.AddFlags(flags)
	return o, flags.Parse(args)
}

func run(ctx context.Context, out io.Writer, args []string) (err error) {
	opts, err := parse(args)
	if err != nil {
		return err
	}
	server, err := cluster.Start(ctx, opts.setup, func(line string) { fmt.Fprintln(out, line) })
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	if err := cluster.WriteKubeconfig(opts.kubeconfig, server.Config()); err != nil {
		return err
	}
	defer os.Remove(opts.kubeconfig)

	fmt.Fprintf(out, `kube-apiserver at %s, kubeconfig %s
In the parent directory: go run ./examples/scheduler -kubeconfig %[2]s
Ctrl-C stops it.
`, server.Config().Host, opts.kubeconfig)
	if opts.kubelet {
		return pretendNode(ctx, server)
	}
	<-ctx.Done()
	return nil
}

func pretendNode(ctx context.Context, server *cluster.Cluster) error {
	client, err := kubernetes.NewForConfig(server.Config())
	if err != nil {
		return fmt.Errorf("make client: %w", err)
	}
	node := kubelet.Kubelet{Client: client, Node: "pretended-node", Startup: time.Second}
	return node.Run(ctx)
}
