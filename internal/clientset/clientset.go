// SPDX-License-Identifier: Apache-2.0

// Package clientset tells what kind of client the user has given: a fake, an ordinary clientset of
// client-go, or a wrapper.
package clientset

import (
	"fmt"
	"time"

	"k8s.io/client-go/kubernetes"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/watchlist"
)

// IsFake reports whether a client answers by itself, without an API server, as client-go's
// fake clientset does. Such a client has no REST client: the fake returns a nil
// *rest.RESTClient, and so does each wrapper that embeds the fake or its CoreV1. A wrapper of
// an ordinary client returns that client's REST client. The method by which client-go
// recognises its fake is no evidence: a wrapper that embeds kubernetes.Interface lacks it, and
// a client of a server may have it, to refuse streaming lists.
//
// The loop does not trust a fake with these:
//
//   - Resource versions. Its pods have those that the test gives them. Its lists have none
//     (client-go 0.35) or those of a counter in the fake (0.36 and later). So the loop does not
//     resume and compares no versions: it lists after each watch and after each refusal.
//   - Streaming lists. It ignores sendInitialEvents, and the end of the list never comes.
//   - The changes between a list and the watch that follows, see package podlist.
//
// A fake has no connection, so its watch cannot stall, however long it is silent.
func IsFake(client kubernetes.Interface) bool {
	below := client.CoreV1().RESTClient()
	return below == nil || below == (*rest.RESTClient)(nil)
}

// RefusesStreamingLists reports whether a client says that it cannot stream a list. Fakes
// cannot, but a wrapper hides what they say.
func RefusesStreamingLists(client kubernetes.Interface) bool {
	return IsFake(client) || watchlist.DoesClientNotSupportWatchListSemantics(client)
}

// RESTClient returns the REST client of an ordinary clientset, or an error that
// says why the clientset is not ordinary.
func RESTClient(client kubernetes.Interface) (*rest.RESTClient, error) {
	core, ok := client.CoreV1().(*typedcorev1.CoreV1Client)
	if !ok {
		return nil, fmt.Errorf("the client is wrapped, its CoreV1 is a %T", client.CoreV1())
	}
	theirs, ok := core.RESTClient().(*rest.RESTClient)
	if !ok || theirs == nil {
		return nil, fmt.Errorf("the client is wrapped, its REST client is a %T", core.RESTClient())
	}
	return theirs, nil
}

// Timeout is the time after which a client cuts each of its requests, 0 for none. It is
// that of rest.Config.Timeout.
func Timeout(client kubernetes.Interface) time.Duration {
	theirs, ok := client.CoreV1().RESTClient().(*rest.RESTClient)
	if !ok || theirs == nil || theirs.Client == nil {
		return 0
	}
	return theirs.Client.Timeout
}
