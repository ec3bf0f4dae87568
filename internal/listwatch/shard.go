// SPDX-License-Identifier: Apache-2.0

package listwatch

import (
	"reflect"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"

	"github.com/executorpods/watchsource/internal/podwire"
	"github.com/executorpods/watchsource/internal/shard"
)

// shardParameter is the parameter of a list or a watch that selects a shard (KEP-5866). A server
// that does not know it, or whose feature gate ShardedListAndWatch is off, ignores it and says
// nothing of that. So the loop drops the pods of other shards, whatever the server does. A
// continue token does not contain the shard: each page of a list has the parameter.
const shardParameter = "shardSelector"

// inShard adds the parameter to a request.
func inShard(request *rest.Request, r *shard.Range) *rest.Request {
	if r == nil {
		return request
	}
	return request.Param(shardParameter, r.Selector())
}

// shardedOptions adds the parameter to the options of a client that makes the request by itself.
// ListOptions has the field since Kubernetes 1.36. With an older module the parameter is not
// sent.
func shardedOptions(options metav1.ListOptions, r *shard.Range) metav1.ListOptions {
	if r == nil {
		return options
	}
	if field := reflect.ValueOf(&options).Elem().FieldByName("ShardSelector"); field.IsValid() && field.Kind() == reflect.String {
		field.SetString(r.Selector())
	}
	return options
}

// podFilter returns the filter of a decoder.
func (c *Config) podFilter() *podwire.Filter {
	if c.Shard == nil {
		return c.Filter
	}
	filter := podwire.Filter{Shard: c.Shard}
	if c.Filter != nil {
		filter.Label, filter.Wants = c.Filter.Label, c.Filter.Wants
	}
	return &filter
}

// passInterval is the time between two events of other shards whose versions the sink receives.
const passInterval = time.Second

// otherShards is about the pods of other shards that a server sends although the requests select
// one shard. The goroutine of [Loop.Run] owns it.
type otherShards struct {
	seen   bool      // logged
	passed time.Time // when the sink last received a version
}

// ofOtherShard reports whether an event is about a pod of another shard.
func (l *Loop) ofOtherShard(event watch.Event) bool {
	if l.Shard == nil || event.Type == watch.Bookmark {
		return false
	}
	pod, ok := podwire.From(event.Object)
	if !ok || l.Shard.Owns(pod.Namespace) {
		return false
	}
	if !l.others.seen {
		l.others.seen = true
		l.Logger.V(4).Info("The server does not select by shard, pods of other shards are dropped", shardParameter, l.Shard.Selector())
	}
	return true
}

// passVersion passes on the version of an event of another shard, like a bookmark: the events of
// a watch come in the order of their versions. It passes on one version a second, because
// each costs the sink and its readers more than an event that is dropped. The versions of a fake
// have no order.
func (l *Loop) passVersion(event watch.Event) error {
	pod, err := PodOf(event)
	if err != nil {
		return err
	}
	now := time.Now()
	if l.fake || now.Sub(l.others.passed) < passInterval {
		return nil
	}
	l.others.passed = now
	return l.pass(watch.Event{Type: watch.Bookmark, Object: &podwire.Pod{Identity: podwire.Identity{ResourceVersion: pod.ResourceVersion}}}, true)
}
