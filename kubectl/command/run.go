// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"os"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/kubectl/application"
	"github.com/executorpods/watchsource/kubectl/screen"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/cli-runtime/pkg/printers"
)

// allApplications is the id with which the source starts if it watches all applications.
const allApplications = "all"

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
		defer o.reportOutages(ctx, source)()
		return o.followUntilEnded(ctx, source, store)
	case o.useScreen():
		if err := screen.Run(ctx, screen.Config{AppID: o.appID, Namespace: target.namespace, Source: source, Store: store}); err != nil {
			return err
		}
		return interruption(ctx)
	case o.watch:
		defer o.reportOutages(ctx, source)()
		return o.follow(ctx, store)
	default:
		return o.printOnce(store, target.namespace)
	}
}

// watchExecutors returns a source and its store. All applications share one source, which
// selects by the role and by the presence of an application id.
func (o *options) watchExecutors(t target) (*application.Store, *watchsource.WatchSnapshotSource) {
	storeOptions := []watchsource.StoreOption{watchsource.WithLogger(o.logger)}
	if len(o.containers) > 0 {
		storeOptions = append(storeOptions, watchsource.WithExecutorContainer(o.containers...))
	}
	store := application.NewStore(o.appID, storeOptions...)
	return store, watchsource.NewWatchSnapshotSource(store, t.client,
		watchsource.WithNamespace(t.namespace),
		watchsource.WithSelector(o.selectorOf),
		watchsource.WithStartTimeout(t.startTimeout),
		watchsource.WithLogger(o.logger))
}

// selectorOf returns the selector of the executors of an application, or of all applications, that
// match the flag --selector.
func (o *options) selectorOf(appID string) labels.Selector {
	executors := labels.Set{watchsource.LabelRole: watchsource.RoleExecutor}.AsSelector().Add(o.requirements...)
	operator, values := selection.Equals, []string{appID}
	if o.appID == "" {
		operator, values = selection.Exists, nil
	}
	application, err := labels.NewRequirement(watchsource.LabelApp, operator, values)
	if err != nil {
		panic(err) // Start has checked the id
	}
	return executors.Add(*application)
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
