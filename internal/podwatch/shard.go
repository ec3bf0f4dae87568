// SPDX-License-Identifier: Apache-2.0

package podwatch

import (
	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/executorpods/watchsource/internal/podwire"
	"github.com/executorpods/watchsource/internal/shard"
)

// A Shard recognizes the pods of other shards that a server sends although the requests select
// one shard. The goroutine of the loop owns it.
type Shard struct {
	// Range has the namespaces of the shard. It is nil for all.
	Range  *shard.Range
	Logger logr.Logger

	// logged is set once the log says that other pods come.
	logged bool
}

// Lacks reports whether an event is about a pod of another shard.
func (s *Shard) Lacks(event watch.Event) bool {
	if s.Range == nil || event.Type == watch.Bookmark {
		return false
	}
	pod, ok := podwire.From(event.Object)
	if !ok || s.Range.Owns(pod.Namespace) {
		return false
	}
	if !s.logged {
		s.logged = true
		s.Logger.V(4).Info("The server does not select by shard, pods of other shards are dropped", "shardSelector", s.Range.Selector())
	}
	return true
}
