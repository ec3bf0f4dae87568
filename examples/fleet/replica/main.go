// SPDX-License-Identifier: Apache-2.0

// Replica is one replica of a fleet. It prints a JSON line for each batch of an application
// that it owns. Start it several times with the same -fleet and different names:
//
//	replica -kubeconfig ~/.kube/config -name replica-0 -apps apps.txt
//
// The file has one application id per line, with its namespace if -by-namespace is given:
// "jobs/app-1". In a pod, leave out -kubeconfig and -name. On SIGINT or SIGTERM it releases its
// Lease and ends.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/examples/fleet"
	"github.com/go-logr/logr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	log.SetFlags(0)
	log.SetPrefix("replica: ")
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// options contains the values of the flags.
type options struct {
	kubeconfig, namespace, fleet, name, apps string
	byNamespace                              bool
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (code int) {
	opts, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2 // parse has printed the error
	}
	if err := opts.run(ctx, stdout); err != nil {
		fmt.Fprintln(stderr, "replica:", err)
		return 1
	}
	return 0
}

func parse(args []string, stderr io.Writer) (options, error) {
	var opts options
	hostname, _ := os.Hostname()
	flags := flag.NewFlagSet("replica", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, "Runs one replica of a fleet until Ctrl-C. Start it several times, with different names.\n\n"+
			"Usage: replica -apps path [flags]\n\n")
		flags.PrintDefaults()
	}
	flags.StringVar(&opts.kubeconfig, "kubeconfig", "", "`path` of a kubeconfig (default as kubectl, or the service account of the pod)")
	flags.StringVar(&opts.namespace, "namespace", "default", "`namespace` of the Leases and the executors")
	flags.StringVar(&opts.fleet, "fleet", "example", "`name` of the fleet")
	flags.StringVar(&opts.name, "name", hostname, "`name` of this replica, which no other replica has")
	flags.StringVar(&opts.apps, "apps", "", "`path` of a file with one application id per line (required)")
	flags.BoolVar(&opts.byNamespace, "by-namespace", false, "watch all namespaces and divide them; a line of -apps is then NAMESPACE/ID")
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	if err := opts.check(flags.NArg()); err != nil {
		fmt.Fprintf(stderr, "replica: %v; -h shows the flags\n", err)
		return options{}, err
	}
	return opts, nil
}

func (o options) check(arguments int) error {
	switch {
	case arguments > 0:
		return errors.New("there are flags only, no arguments")
	case o.apps == "":
		return errors.New("-apps must be the path of a file with one application id per line")
	case o.name == "" || o.fleet == "" || o.namespace == "":
		return errors.New("-name, -fleet and -namespace must not be empty")
	default:
		return nil
	}
}

func (o options) run(ctx context.Context, stdout io.Writer) error {
	ids, namespaces, err := readApplications(o.apps, o.byNamespace)
	if err != nil {
		return fmt.Errorf("read the applications, see -apps: %w", err)
	}
	// Leases have a client, and so a rate limit, for themselves: a renewal must not wait.
	leases, err := newClient(o.kubeconfig)
	if err != nil {
		return err
	}
	pods, err := newClient(o.kubeconfig)
	if err != nil {
		return err
	}
	config := fleet.Config{
		Client:    leases,
		Pods:      pods,
		Namespace: o.namespace,
		Fleet:     o.fleet,
		Name:      o.name,
		Act:       newPrinter(stdout, o.name).print,
		Logger:    logr.FromSlogHandler(slog.Default().Handler()),
	}
	if o.byNamespace {
		config.NamespaceOf = func(id string) string { return namespaces[id] }
	} else {
		config.Options = append(config.Options, watchsource.WithNamespace(o.namespace))
	}
	replica, err := fleet.New(config)
	if err != nil {
		return err
	}
	for _, id := range ids {
		replica.Add(id)
	}
	return replica.Run(ctx)
}

// readApplications reads the ids of applications, and the namespace of each if the lines have
// it.
func readApplications(path string, withNamespaces bool) (ids []string, namespaces map[string]string, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	namespaces = map[string]string{}
	for line := range strings.FieldsSeq(string(text)) {
		id := line
		if withNamespaces {
			namespace, rest, found := strings.Cut(line, "/")
			if !found {
				return nil, nil, fmt.Errorf("%q is not NAMESPACE/ID", line)
			}
			id, namespaces[rest] = rest, namespace
		}
		ids = append(ids, id)
	}
	if len(ids) == 0 {
		return nil, nil, fmt.Errorf("%s is empty", path)
	}
	return ids, namespaces, nil
}

// newClient finds the cluster as kubectl does, or in a pod by the service account.
func newClient(kubeconfig string) (kubernetes.Interface, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		return nil, fmt.Errorf("found no cluster: give -kubeconfig or set KUBECONFIG (looked at %s), or run in a pod",
			cmp.Or(kubeconfig, strings.Join(rules.Precedence, ", ")))
	}
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	return kubernetes.NewForConfig(config)
}

// A line describes a batch.
type line struct {
	Time        time.Time `json:"time"`
	Replica     string    `json:"replica"`
	Application string    `json:"application"`
	Full        bool      `json:"full"`            // the batch has all executors
	Ended       []string  `json:"ended,omitempty"` // the pods of executors that have ended
}

// A printer prints lines. Its methods are safe for concurrent use.
type printer struct {
	replica string
	mu      sync.Mutex
	out     *json.Encoder
}

func newPrinter(out io.Writer, replica string) *printer {
	return &printer{replica: replica, out: json.NewEncoder(out)}
}

func (p *printer) print(_ context.Context, appID string, batch watchsource.Batch) {
	var ended []string
	for _, change := range batch.Changes {
		if change.After != nil && change.After.State.Ended() {
			ended = append(ended, change.After.Name)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.out.Encode(line{time.Now(), p.replica, appID, batch.Full, ended}); err != nil {
		log.Print(err)
	}
}
