// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/executorpods/watchsource"
)

// A consumer is one way to keep a view of an application's pods.
type consumer struct {
	name  string // on the command line
	title string // in tables and charts

	// start returns once the view is complete and all of it has been shown to
	// the recorder. It continues in the background until ctx ends. The returned
	// value keeps the view in memory.
	start func(ctx context.Context, s env) (view any, err error)

	oneApp  bool // it is shown only the first application
	blocked bool // it is not shown the first application, whose store blocks
}

// markers returns how many markers the consumer is shown.
func (c consumer) markers(apps int) int {
	switch {
	case c.oneApp:
		return 1
	case c.blocked:
		return apps - 1
	default:
		return apps
	}
}

// An env is the environment of a consumer.
type env struct {
	config   *rest.Config
	client   kubernetes.Interface
	recorder *recorder
	selector labels.Selector // of the pods to watch
	// storeOptions make a Store understand the pods.
	storeOptions []watchsource.StoreOption

	// For the consumer that only counts frames.
	pods    int
	updates int

	apps int // the number of applications
}

// The consumers that others are compared with.
const (
	floorName    = "floor"
	informerName = "informer"
)

// consumers are in the order of tables and charts.
var consumers = []consumer{
	{name: floorName, title: "the floor: frames read, nothing else", start: startFloor},
	{name: "watch", title: "client-go Watch loop", start: startWatchLoop},
	{name: "retrywatcher", title: "client-go RetryWatcher", start: startRetryWatcher},
	{name: informerName, title: "SharedInformer", start: startInformer},
	{name: "informer-stripped", title: "SharedInformer, no managedFields", start: startStrippedInformer},
	{name: "controller-runtime", title: "controller-runtime cache", start: startRuntimeCache},
	{name: "watchsource", title: "watchsource", start: startWatchsource},
	{name: "watchsource-decoding", title: "watchsource, Pod() for each change", start: startDecodingWatchsource},
	{name: "watchsource-decoding-1-in-100", title: "watchsource, Pod() for 1 in 100", start: startRarelyDecodingWatchsource},
	{name: "watchsource-podless", title: "watchsource, no pods kept", start: startPodlessWatchsource},
	{name: "watchsource-own-store", title: "watchsource, a user's own store", start: startOwnStore},
	{name: "watchsource-own-store-trimmed", title: "watchsource, own store, trimmed pods", start: startTrimmedOwnStore},
}

func consumerNamed(name string) (consumer, error) {
	all := slices.Concat(consumers, []consumer{spark}, appConsumers)
	i := slices.IndexFunc(all, func(c consumer) bool { return c.name == name })
	if i < 0 {
		return consumer{}, fmt.Errorf("there is no consumer %q, only %s", name, strings.Join(consumerNames(), ", "))
	}
	return all[i], nil
}

func consumerNames() []string {
	var names []string
	for _, c := range consumers {
		names = append(names, c.name)
	}
	return names
}

// isOurs reports whether a consumer is this library.
func isOurs(name string) bool { return strings.HasPrefix(name, "watchsource") }
