// SPDX-License-Identifier: Apache-2.0

package listwatch

import (
	"time"

	"k8s.io/apimachinery/pkg/watch"

	"github.com/executorpods/watchsource/internal/failure"
	"github.com/executorpods/watchsource/internal/podclient"
	"github.com/executorpods/watchsource/internal/podwatch"
	"github.com/executorpods/watchsource/internal/podwire"
	"github.com/executorpods/watchsource/internal/retry"
	"github.com/executorpods/watchsource/internal/rv"
	"github.com/executorpods/watchsource/internal/verification"
)

// A delivery passes the events of watches to a sink, and notes what they show. The goroutine of
// [Loop.Run] owns it.
type delivery struct {
	// Fixed after New.
	sink     Sink
	report   func(Event)
	fake     bool
	contact  *retry.Contact
	verifier *verification.Verifier
	others   *podwatch.Shard

	// passed is when the sink last received the version of an event of another shard.
	passed time.Time
}

// deliver passes on an event of a stream that was opened from a version. It returns the error that
// the event is, or ErrNewHistory.
func (d *delivery) deliver(event watch.Event, from string) error {
	if !d.fake && goesBack(event, from) {
		return failure.ErrNewHistory
	}
	shown := d.showsStore(event)
	if d.others.Lacks(event) {
		return d.passVersion(event)
	}
	return d.pass(event, shown)
}

// goesBack reports whether an event is older than the version that its stream
// was opened from. Only a server with a new history sends such an event.
func goesBack(event watch.Event, from string) bool {
	if from == "" || from == "0" || event.Type == watch.Error {
		return false
	}
	pod, err := podclient.PodOf(event)
	return err == nil && pod.ResourceVersion != "0" && rv.Older(pod.ResourceVersion, from)
}

// showsStore reports whether an event shows that the server has its store.
func (d *delivery) showsStore(event watch.Event) bool {
	pod, err := podclient.PodOf(event)
	switch {
	case err != nil:
		return false // the sink returns the error
	case event.Type == watch.Bookmark && !d.fake:
		return d.contact.Bookmark(time.Now(), pod.ResourceVersion)
	}
	d.contact.Received(time.Now(), pod.ResourceVersion)
	return true
}

// passInterval is the time between two events of other shards whose versions the sink receives.
const passInterval = time.Second

// passVersion passes on the version of an event of another shard, like a bookmark: the events of
// a watch come in the order of their versions. It passes on one version a second, because
// each costs the sink and its readers more than an event that is dropped. The versions of a fake
// have no order.
func (d *delivery) passVersion(event watch.Event) error {
	pod, err := podclient.PodOf(event)
	if err != nil {
		return err
	}
	now := time.Now()
	if d.fake || now.Sub(d.passed) < passInterval {
		return nil
	}
	d.passed = now
	return d.pass(watch.Event{Type: watch.Bookmark, Object: &podwire.Pod{Identity: podwire.Identity{ResourceVersion: pod.ResourceVersion}}}, true)
}

// pass passes an event to the sink, and reports it.
func (d *delivery) pass(event watch.Event, heard bool) (err error) {
	d.verifier.Do(func() {
		if err = d.sink.Receive(event); err != nil {
			return
		}
		version := d.sink.ResourceVersion()
		d.verifier.Received(event, version)
		d.report(Event{Kind: Received, ResourceVersion: version, Type: event.Type, Heard: heard})
	})
	return err
}
