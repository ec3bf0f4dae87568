// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"cmp"
	"context"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"

	"github.com/executorpods/watchsource/internal/listwatch"
	"github.com/executorpods/watchsource/internal/podwire"
	"github.com/executorpods/watchsource/internal/usercode"
)

// ownWatches makes the feeds of a source that shares its watch with no other.
type ownWatches struct{ client kubernetes.Interface }

func (o ownWatches) checkClient() error   { return checkClient(o.client) }
func (o ownWatches) checkSelector() error { return nil }

func (o ownWatches) join(_ context.Context, s *session) feed { return newOwnWatch(o.client, s) }

// An ownWatch is the feed of a session that shares its watch with no other. It is the sink of a
// loop.
type ownWatch struct {
	// Fixed after newOwnWatch.
	session *session
	client  kubernetes.Interface
	monitor *monitor
	watcher *Watcher
}

func newOwnWatch(client kubernetes.Interface, s *session) *ownWatch {
	return &ownWatch{
		session: s, client: client,
		monitor: newMonitor(s.status, s.options.observer, s.options.stallTimeout, s.options.logger, &s.userCode),
		watcher: newWatcher(podStoreOf(s.store, s.options.trimmed), s.selector, s.options),
	}
}

func (w *ownWatch) start(ctx context.Context) { go w.run(ctx) }

// run works until ctx ends, or until Start has failed.
func (w *ownWatch) run(ctx context.Context) {
	var cause error
	defer func() {
		w.monitor.stop()
		w.session.end(cause)
	}()
	defer w.session.catch()
	w.session.logStart()
	w.monitor.logger = w.session.options.logger.WithValues("appID", w.session.appID)
	cause = listwatch.New(w.config()).Run(logr.NewContext(ctx, w.session.options.logger))
	if w.session.isOpen.Load() {
		w.session.observeStop()
	}
}

func (w *ownWatch) config() listwatch.Config {
	o := w.session.options
	config := o.loopConfig(w.client, w.session.selector, w.monitor.logger)
	switch own, ok := ownStoreOf(w.session.store); {
	case ok:
		config.Known = own.kept().known
	case o.trimmed:
		config.Form = podwire.Trimmed
	default:
		config.Form = podwire.Whole
	}
	config.Sink, config.Report, config.Begin = w, w.report, w.session.decideStart
	return config
}

// Replace implements [listwatch.Sink], as the following methods do.
func (w *ownWatch) Replace(pods []*podwire.Pod, resourceVersion string) {
	w.session.userCode.Enter(usercode.Store)
	w.watcher.replace(pods, resourceVersion)
	w.session.userCode.Leave()
}

func (w *ownWatch) Receive(event watch.Event) error {
	w.session.userCode.Enter(usercode.Store)
	err := w.watcher.receive(event)
	w.session.userCode.Leave()
	return err
}

func (w *ownWatch) ResourceVersion() string { return w.watcher.resourceVersion }
func (w *ownWatch) Forget()                 { w.watcher.resourceVersion = "" }

// report updates the status, calls the observer, and lets Start return.
func (w *ownWatch) report(e listwatch.Event) {
	w.monitor.report(e)
	if e.Kind == listwatch.Opened {
		w.session.open()
	}
}

// status implements feed, as the following methods do. The monitor writes the board of the
// source, so its status is complete.
func (w *ownWatch) status(Status) Status { return w.monitor.status() }

func (w *ownWatch) startError(last error) error { return cmp.Or(w.monitor.awaited(), last) }

func (w *ownWatch) waitsFor() usercode.Callee { return w.session.userCode.Now() }
