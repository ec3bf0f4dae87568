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

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("sparkwatch", flag.ContinueOnError)
	kubeconfig := flags.String("kubeconfig", "", "`file` that says where the server is, and has the rights of an administrator")
	values := map[string]*string{
		"namespace":      flags.String("namespace", "default", "`namespace` of the pods"),
		"app":            flags.String("app", "", "`id` of the application"),
		"pods":           flags.String("pods", "1", "`number` of pods that there are"),
		"updates":        flags.String("updates", "1", "`number` of updates that will come"),
		"marker":         flags.String("marker", "marker", "the first pod whose name begins with this `text` ends the measurement"),
		"warm-up-marker": flags.String("warm-up-marker", "warm", "the first pod whose name begins with this `text` ends the warm-up"),
		"follow":         flags.String("follow", "", "print the resource versions of the pod with this `name`, and measure nothing"),
		"samples":        flags.String("samples", "", "write to this `file` what was seen when"),
	}
	if err := flags.Parse(args); err != nil {
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
	admin, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		return fmt.Errorf("read kubeconfig: %w", err)
	}
	if err := rest.LoadTLSFiles(admin); err != nil {
		return fmt.Errorf("read kubeconfig: %w", err)
	}
	if len(admin.CertData) > 0 {
		// Spark's client cannot read a key of an elliptic curve, which is what the
		// administrator of a test server has.
		*kubeconfig, err = withToken(ctx, dir, admin, *values["namespace"])
		if err != nil {
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
	words := []string{driverMemory, "SparkWatch", "master", admin.Host}
	for name, value := range values {
		words = append(words, name, *value)
	}
	return runJava(installation.Java(ctx, []string{jar}, words...), *kubeconfig)
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
