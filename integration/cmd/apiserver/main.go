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
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

type options struct {
	kubeconfig string
	kubelet    bool
	setup      cluster.Setup
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (code int) {
	opts, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2 // parse has printed the error
	}
	if err := opts.serve(ctx, stdout); err != nil {
		fmt.Fprintln(stderr, "apiserver:", err)
		return 1
	}
	return 0
}

func parse(args []string, stderr io.Writer) (options, error) {
	// envtest's dependencies put flags of their own into flag.CommandLine.
	flags := flag.NewFlagSet("apiserver", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, "Runs etcd and kube-apiserver on the loopback interface until Ctrl-C. The first run builds both, which takes\n"+
			"minutes, unless KUBEBUILDER_ASSETS names a directory that has them.\n\nUsage: apiserver [flags]\n\n")
		flags.PrintDefaults()
	}
	var o options
	flags.StringVar(&o.kubeconfig, "kubeconfig", filepath.Join(os.TempDir(), "watchsource.kubeconfig"),
		"write a kubeconfig to this `file`, and remove it at the end")
	flags.BoolVar(&o.kubelet, "kubelet", true, "pretend a node, without which every pod stays Pending")
	o.setup.AddFlags(flags)
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	if flags.NArg() > 0 {
		err := fmt.Errorf("there are flags only, no arguments; -h shows the flags")
		fmt.Fprintln(stderr, "apiserver:", err)
		return options{}, err
	}
	return o, nil
}

// serve runs the server until ctx ends.
func (o options) serve(ctx context.Context, out io.Writer) (err error) {
	if err := reserve(o.kubeconfig); err != nil {
		return err
	}
	defer os.Remove(o.kubeconfig)
	server, err := cluster.Start(ctx, o.setup, func(line string) { fmt.Fprintln(out, line) })
	if err != nil && ctx.Err() != nil {
		err = errors.New("interrupted before the server was up")
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	if err := cluster.WriteKubeconfig(o.kubeconfig, server.Config()); err != nil {
		return err
	}
	fmt.Fprintf(out, `kube-apiserver at %s, kubeconfig %s
In the parent directory: go run ./examples/scheduler -kubeconfig %[2]s
Ctrl-C stops it.
`, server.Config().Host, o.kubeconfig)
	if !o.kubelet {
		<-ctx.Done()
		return nil
	}
	if err := pretendNode(ctx, server); !errors.Is(err, context.Canceled) {
		return err
	}
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
