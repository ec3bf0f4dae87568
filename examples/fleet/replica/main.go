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
	"context"
	"encoding/json"
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
	log.SetFlags(0)
	log.SetPrefix("replica: ")
	hostname, _ := os.Hostname()
	kubeconfig := flag.String("kubeconfig", "", "`path` of a kubeconfig (default: the service account of the pod)")
	namespace := flag.String("namespace", "default", "`namespace` of the Leases and the executors")
	fleetName := flag.String("fleet", "example", "`name` of the fleet")
	name := flag.String("name", hostname, "`name` of this replica")
	apps := flag.String("apps", "", "`path` of a file with one application id per line (required)")
	byNamespace := flag.Bool("by-namespace", false, "watch all namespaces and divide them; a line of -apps is then NAMESPACE/ID")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	if err := run(ctx, *kubeconfig, *namespace, *fleetName, *name, *apps, *byNamespace); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, kubeconfig, namespace, fleetName, name, apps string, byNamespace bool) error {
	ids, namespaces, err := readApplications(apps, byNamespace)
	if err != nil {
		return fmt.Errorf("read the applications, see -apps: %w", err)
	}
	// Leases have a client, and so a rate limit, for themselves: a renewal must not wait.
	leases, err := newClient(kubeconfig)
	if err != nil {
		return err
	}
	pods, err := newClient(kubeconfig)
	if err != nil {
		return err
	}
	config := fleet.Config{
		Client:    leases,
		Pods:      pods,
		Namespace: namespace,
		Fleet:     fleetName,
		Name:      name,
		Act:       newPrinter(os.Stdout, name).print,
		Logger:    logr.FromSlogHandler(slog.Default().Handler()),
	}
	if byNamespace {
		config.NamespaceOf = func(id string) string { return namespaces[id] }
	} else {
		config.Options = append(config.Options, watchsource.WithNamespace(namespace))
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
	return ids, namespaces, nil
}

func newClient(kubeconfig string) (kubernetes.Interface, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
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
