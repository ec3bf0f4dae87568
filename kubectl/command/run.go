// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"fmt"
	"os"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/kubectl/application"
	"github.com/executorpods/watchsource/kubectl/demo"
	"github.com/executorpods/watchsource/kubectl/screen"
	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/cli-runtime/pkg/printers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/klog/v2"
)

// allApplications is the id with which the source starts if it watches all applications.
const allApplications = "all"

// A target is the cluster, and where in it to look.
type target struct {
	client    kubernetes.Interface
	namespace string // "" for all namespaces
	stop      func()
}

func (o *options) run(ctx context.Context) error {
	target, err := o.connect()
	if err != nil {
		return err
	}
	defer target.stop()
	return o.show(ctx, target)
}

// show waits for the complete view, and shows it in the way that the flags ask for.
func (o *options) show(ctx context.Context, target target) error {
	store, source := o.watchExecutors(target)
	if err := start(ctx, source, o.startID()); err != nil {
		return err
	}
	defer source.Stop()
	switch {
	case o.untilEnded:
		return o.followUntilEnded(ctx, source, store)
	case o.useScreen():
		return screen.Run(ctx, screen.Config{AppID: o.appID, Namespace: target.namespace, Source: source, Store: store})
	case o.watch:
		return o.follow(ctx, store)
	default:
		return o.printOnce(store, target.namespace)
	}
}

// connect returns the target that the flags name.
func (o *options) connect() (target, error) {
	if o.demo {
		if o.appID == "" && !o.allNamespaces {
			o.appID = demo.AppID
		}
		client, stop := demo.Start()
		return target{client: client, namespace: demo.Namespace, stop: stop}, nil
	}
	restConfig, err := o.config.ToRESTConfig()
	if err != nil {
		return target{}, fmt.Errorf("read the kubeconfig: %w", err)
	}
	namespace, _, err := o.config.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return target{}, fmt.Errorf("read the namespace of the kubeconfig: %w", err)
	}
	if o.allNamespaces {
		namespace = ""
	}
	client, err := kubernetes.NewForConfig(restConfig)
	if err != nil {
		return target{}, err
	}
	return target{client: client, namespace: namespace, stop: func() {}}, nil
}

// watchExecutors returns a source and its store. All applications share one source, which
// selects by the role and by the presence of an application id.
func (o *options) watchExecutors(t target) (*application.Store, *watchsource.WatchSnapshotSource) {
	var storeOptions []watchsource.StoreOption
	if len(o.containers) > 0 {
		storeOptions = append(storeOptions, watchsource.WithExecutorContainer(o.containers...))
	}
	sourceOptions := []watchsource.Option{watchsource.WithNamespace(t.namespace)}
	if o.appID == "" {
		sourceOptions = append(sourceOptions, watchsource.WithSelector(everyExecutor))
	}
	if o.useScreen() {
		// The screen shows the state of the watch. A log would destroy it.
		klog.SetLogger(logr.Discard())
		storeOptions = append(storeOptions, watchsource.WithLogger(logr.Discard()))
		sourceOptions = append(sourceOptions, watchsource.WithLogger(logr.Discard()))
	}
	store := application.NewStore(o.appID, storeOptions...)
	return store, watchsource.NewWatchSnapshotSource(store, t.client, sourceOptions...)
}

func everyExecutor(string) labels.Selector {
	executors := labels.Set{watchsource.LabelRole: watchsource.RoleExecutor}.AsSelector()
	hasID, err := labels.NewRequirement(watchsource.LabelApp, selection.Exists, nil)
	if err != nil {
		panic(err) // the arguments are constants
	}
	return executors.Add(*hasID)
}

func (o *options) startID() string {
	if o.appID == "" {
		return allApplications
	}
	return o.appID
}

// start starts the source. If ctx ends first, the attempt ends too.
func start(ctx context.Context, source *watchsource.WatchSnapshotSource, appID string) error {
	stopWatching := context.AfterFunc(ctx, source.Stop)
	err := source.Start(appID)
	if !stopWatching() && err == nil {
		return watchsource.ErrStopped
	}
	return err
}

// useScreen reports whether to show the screen: the output is a terminal, and the user has
// asked for no other form.
func (o *options) useScreen() bool {
	return o.output == "" && !o.untilEnded && !o.noHeaders &&
		printers.IsTerminal(o.streams.Out) && os.Getenv("TERM") != "dumb"
}
