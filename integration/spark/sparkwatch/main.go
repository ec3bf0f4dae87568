// SPDX-License-Identifier: Apache-2.0

// Command sparkwatch watches the executor pods of an application with the classes of Apache
// Spark, as a consumer of the benchmark or beside a source under faults. It downloads Spark
// on its first run.
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/executorpods/watchsource/integration/cluster"
	"github.com/executorpods/watchsource/integration/spark"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

//go:embed SparkWatch.java
var program []byte

// driverMemory is the heap that a Spark driver has by default.
const driverMemory = "-Xmx1g"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "sparkwatch:", err)
		os.Exit(1)
	}
}

// options are the flags. The program in Java gets most of them.
type options struct {
	kubeconfig     string
	namespace, app string
	pods, updates  int
	marker, warmUp string
	follow         string
	samples        string
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("sparkwatch", flag.ContinueOnError)
	flags.StringVar(&o.kubeconfig, "kubeconfig", "", "`file` that says where the server is, and has the rights of an administrator")
	flags.StringVar(&o.namespace, "namespace", "default", "`namespace` of the pods")
	flags.StringVar(&o.app, "app", "", "`id` of the application")
	flags.IntVar(&o.pods, "pods", 1, "number of pods that there are")
	flags.IntVar(&o.updates, "updates", 1, "number of updates that will come")
	flags.StringVar(&o.marker, "marker", "marker", "the first pod whose name begins with this `text` ends the measurement")
	flags.StringVar(&o.warmUp, "warm-up-marker", "warm", "the first pod whose name begins with this `text` ends the warm-up")
	flags.StringVar(&o.follow, "follow", "", "print the resource versions of the pod with this `name`, and measure nothing")
	flags.StringVar(&o.samples, "samples", "", "write to this `file` what was seen when")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	switch {
	case o.app == "":
		return o, errors.New("-app: name an application")
	case o.pods < 1 || o.updates < 1:
		return o, errors.New("-pods, -updates: want numbers above 0")
	}
	return o, nil
}

// words are the arguments of the program in Java.
func (o options) words(master string) []string {
	return []string{
		"master", master, "namespace", o.namespace, "app", o.app,
		"pods", strconv.Itoa(o.pods), "updates", strconv.Itoa(o.updates),
		"marker", o.marker, "warm-up-marker", o.warmUp, "follow", o.follow, "samples", o.samples,
	}
}

func run(ctx context.Context, args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	installation, err := spark.Install(ctx, func(progress string) { fmt.Fprintln(os.Stderr, progress) })
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "sparkwatch-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	admin, err := clientcmd.BuildConfigFromFlags("", o.kubeconfig)
	if err == nil {
		err = rest.LoadTLSFiles(admin)
	}
	if err != nil {
		return fmt.Errorf("read kubeconfig: %w", err)
	}
	if len(admin.CertData) > 0 {
		// Spark's client cannot read a key of an elliptic curve, which is what the
		// administrator of a test server has.
		if o.kubeconfig, err = withToken(ctx, dir, admin, o.namespace); err != nil {
			return err
		}
	}
	source := filepath.Join(dir, "SparkWatch.java")
	if err := os.WriteFile(source, program, 0o600); err != nil {
		return err
	}
	jar, err := installation.Compile(ctx, dir, source)
	if err != nil {
		return err
	}
	java := installation.Java(ctx, []string{jar}, append([]string{driverMemory, "SparkWatch"}, o.words(admin.Host)...)...)
	return runJava(java, o.kubeconfig)
}

// withToken makes a service account and returns the path of a kubeconfig with its token.
func withToken(ctx context.Context, dir string, admin *rest.Config, namespace string) (string, error) {
	account, err := cluster.AddServiceAccount(ctx, admin, namespace, "sparkwatch", rbacv1.PolicyRule{
		APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get", "list", "watch"},
	})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "kubeconfig")
	return path, cluster.WriteKubeconfig(path, account)
}

// runJava lets the program have the input and the output of this process.
func runJava(command *exec.Cmd, kubeconfig string) error {
	command.Env = append(command.Env, "KUBECONFIG="+kubeconfig)
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = 10 * time.Second
	return command.Run()
}
