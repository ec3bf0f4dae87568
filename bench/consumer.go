// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// A consumer is one way to keep a view of an application's pods.
type consumer struct {
	name  string // on the command line
	title string // in tables and charts

	// start returns once the view is complete and all of it has been shown to
	// the recorder. It continues in the background until ctx ends. The returned
	// value keeps the view in memory.
	start func(ctx context.Context, s env) (view any, err error)
}

// An env is the environment of a consumer.
type env struct {
	config   *rest.Config
	client   kubernetes.Interface
	recorder *recorder

	// For the consumer that only counts frames.
	pods    int
	updates int
}

// The consumers that others are compared with.
const (
	floorName    = "floor"
	informerName = "informer"
)

// consumers are in the order of tables and charts.
var consumers = []consumer{
	{floorName, "the floor: frames read, nothing else", startFloor},
	{"watch", "client-go Watch loop", startWatchLoop},
	{"retrywatcher", "client-go RetryWatcher", startRetryWatcher},
	{informerName, "SharedInformer", startInformer},
	{"informer-stripped", "SharedInformer, no managedFields", startStrippedInformer},
	{"controller-runtime", "controller-runtime cache", startRuntimeCache},
	{"watchsource", "watchsource", startWatchsource},
	{"watchsource-trimmed", "watchsource, trimmed", startTrimmedWatchsource},
	{"watchsource-podless", "watchsource, trimmed, no pods kept", startPodlessWatchsource},
}

func consumerNamed(name string) (consumer, error) {
	i := slices.IndexFunc(consumers, func(c consumer) bool { return c.name == name })
	if i < 0 {
		return consumer{}, fmt.Errorf("there is no consumer %q, only %s", name, strings.Join(consumerNames(), ", "))
	}
	return consumers[i], nil
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
