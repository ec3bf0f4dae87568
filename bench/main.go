// SPDX-License-Identifier: Apache-2.0

// Command bench compares watchsource with the other ways to watch pods. All consumers get
// the same stream, each in a separate process whose CPU and memory the kernel counts.
// README.md explains the figures.
//
//	go run .             against a server that replays prepared frames
//	go run . real        against etcd and kube-apiserver
//	go run . apps        many applications in one process
//	go run . operator    an operator with a cache of pods, and with this library
//	go run . kinds       the heap for pods of each kind of real cluster
//	go run . pod         Executor.Pod beside client-go's decoding of the same frame
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// Commands with which the program runs itself, and those for the user.
const (
	serveCommand   = "serve"
	consumeCommand = "consume"
	realCommand    = "real"
	appsCommand    = "apps"
	kindsCommand   = "kinds"
	podCommand     = "pod"

	operatorCommand    = "operator"
	serveOwnersCommand = "serve-owners"
	operateCommand     = "operate"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, in io.Reader, out, progress io.Writer) error {
	command := ""
	if len(args) > 0 && len(args[0]) > 0 && args[0][0] != '-' {
		command, args = args[0], args[1:]
	}
	switch command {
	case "":
		return runCompare(ctx, args, out, progress)
	case serveCommand:
		return runServe(ctx, args, in, out)
	case consumeCommand:
		return runConsume(ctx, args, in, out)
	case realCommand:
		return runReal(ctx, args, out, progress)
	case appsCommand:
		return runApps(ctx, args, out, progress)
	case kindsCommand:
		return runKinds(ctx, args, out, progress)
	case podCommand:
		return runPod(ctx, args, out, progress)
	case operatorCommand:
		return runOperator(ctx, args, out, progress)
	case serveOwnersCommand:
		return runServeOwners(ctx, args, in, out)
	case operateCommand:
		return runOperate(ctx, args, in, out)
	default:
		return fmt.Errorf("there is no command %q", command)
	}
}

func runCompare(ctx context.Context, args []string, out, progress io.Writer) error {
	var o compareOptions
	flags := newFlags("bench")
	flags.StringVar(&o.pods, "pods", "", "compare with these `numbers` of pods, such as 1000,5000; by default 1000, 10000 and 100000")
	flags.IntVar(&o.updates, "updates", 0, "number of updates; by default 10000 or 40000, by the number of pods")
	flags.IntVar(&o.rounds, "rounds", 0, "number of rounds; by default 3, and 1 with 100000 pods")
	flags.StringVar(&o.consumers, "consumers", "", "compare these `names`; by default all, and four with 100000 pods")
	flags.StringVar(&o.flush, "flush", flushEach, "the server flushes after `each` update, or only full buffers: burst")
	flags.StringVar(&o.results, "results", "results.json", "write all figures to this `file`")
	flags.StringVar(&o.charts, "charts", ".", "write cpu.svg and memory.svg to this `folder`")
	if err := parse(flags, args); err != nil {
		return err
	}
	if err := checkFlush(o.flush); err != nil {
		return err
	}
	return compare(ctx, o, out, progress)
}

func runServe(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	flags := newFlags(serveCommand)
	pods := flags.Int("pods", 1, "number of pods")
	updates := flags.Int("updates", 0, "number of updates")
	warmUp := flags.Int("warm-up", 0, "number of updates before the others")
	apps := flags.Int("apps", 1, "number of applications")
	kind := flags.String("kind", "", "`name` of a kind of pods, in place of executors of Spark")
	flush := flags.String("flush", flushEach, "`each` or burst")
	kubeconfig := flags.String("kubeconfig", "", "write a kubeconfig to this `file`")
	if err := parse(flags, args); err != nil {
		return err
	}
	if err := checkFlush(*flush); err != nil {
		return err
	}
	s := newScript(*pods, *warmUp+*updates, *apps)
	s.warmUp = *warmUp
	if *kind != "" {
		known, err := kindNamed(*kind)
		if err != nil {
			return err
		}
		s.kind = &known
	}
	return serve(ctx, newReplay(s, *flush == flushEach), *kubeconfig, in, out)
}

func runConsume(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	var a assignment
	flags := newFlags(consumeCommand)
	flags.StringVar(&a.consumer, "consumer", "", "`name` of the consumer")
	flags.IntVar(&a.pods, "pods", 1, "number of pods that there are")
	flags.IntVar(&a.updates, "updates", 1, "number of updates that will come")
	flags.IntVar(&a.apps, "apps", 1, "number of applications")
	flags.StringVar(&a.kind, "kind", "", "`name` of the kind of pods, in place of executors of Spark")
	flags.StringVar(&a.kubeconfig, "kubeconfig", "", "`file` that says where the server is")
	flags.IntVar(&a.watches, "watches", 1, "number of consumers in the process")
	flags.BoolVar(&a.resumed, "resumed", false, "end the first watches before the measurement")
	flags.StringVar(&a.profile, "profile", "", "write a profile of the CPU to this `file`")
	flags.StringVar(&a.heap, "heap", "", "write a profile of the heap to this `file` once the view is complete")
	flags.StringVar(&a.samples, "samples", "", "write to this `file` what was seen when")
	if err := parse(flags, args); err != nil {
		return err
	}
	ctx, cancel := withInput(ctx, in)
	defer cancel()
	return consume(ctx, a, out)
}

// withInput returns a context that ends when the input does: the parent is gone.
func withInput(ctx context.Context, in io.Reader) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		io.Copy(io.Discard, in)
		cancel()
	}()
	return ctx, cancel
}

func newFlags(name string) *flag.FlagSet { return flag.NewFlagSet(name, flag.ContinueOnError) }

func parse(flags *flag.FlagSet, args []string) error {
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%s: unexpected argument %q", flags.Name(), flags.Arg(0))
	}
	return nil
}

const (
	flushEach  = "each"
	flushBurst = "burst"
)

func checkFlush(flush string) error {
	if flush != flushEach && flush != flushBurst {
		return fmt.Errorf("-flush: %q is neither %s nor %s", flush, flushEach, flushBurst)
	}
	return nil
}
