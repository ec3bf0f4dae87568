// SPDX-License-Identifier: Apache-2.0

package listwatch

import (
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/watchlist"
)

// isFake reports whether a client answers by itself, without an API server, as client-go's
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
//   - The changes between a list and the watch that follows, see [Loop.fakeView].
//
// A fake has no connection, so its watch cannot stall, however long it is silent.
func isFake(client kubernetes.Interface) bool { return isNil(client.CoreV1().RESTClient()) }

// refusesStreamingLists reports whether a client says that it cannot stream a list. Fakes
// cannot, but a wrapper hides what they say.
func refusesStreamingLists(client kubernetes.Interface) bool {
	return isFake(client) || watchlist.DoesClientNotSupportWatchListSemantics(client)
}
