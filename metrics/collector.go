// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"errors"
	"sync"
	"time"

	"github.com/executorpods/watchsource"
	"github.com/prometheus/client_golang/prometheus"
)

// A Collector collects the metrics of one source, or of the sources of one SharedWatch. Its
// methods are safe for concurrent use.
type Collector struct {
	// Fixed after newCollector.
	shared  bool
	perApp  bool
	metrics descriptions
	err     error // why NewCollector could not add the source

	ends endCounts // has its own lock, so that a reader never waits for Remove

	// Guarded by mu.
	mu       sync.Mutex
	members  map[*watchsource.WatchSnapshotSource]*member
	added    bool              // a source was added
	totals   map[string]counts // of the watch, by its label app
	backlogs map[backlogLabels]*backlog
}

// A member is a source and the view that it feeds.
type member struct {
	source *watchsource.WatchSnapshotSource
	view   view
	ends   *endReader

	// When last looked at.
	counted counts
	stopped bool
	stops   int64
	dropped map[string]int // how many readers have a dropped backlog, by their lines of code
}

// backlogLabels are the labels of a backlog.
type backlogLabels struct{ app, reader string }

// A backlog adds up the readers at one line of code.
type backlog struct {
	changes int
	drops   float64 // how often a backlog was found dropped
}

// An Option changes what a [Collector] collects.
type Option func(*Collector)

// PerApplication adds the label app to the metrics of executors, and to all metrics of a
// collector of one source. Without it a collector adds the applications up. Ids of Spark
// applications are new in each run, so each run makes new time series.
func PerApplication() Option { return func(c *Collector) { c.perApp = true } }

// NewCollector returns a collector of one source, which must feed store. If it does not, the collector
// has no metrics, and says so when it is registered: Register returns the error, MustRegister panics
// with it. To register the collectors of several sources in one registry, give each another label with
// [prometheus.WrapRegistererWith].
func NewCollector(source *watchsource.WatchSnapshotSource, store *watchsource.Store, options ...Option) *Collector {
	c := newCollector(false, options)
	c.err = c.Add(source, store)
	return c
}

// NewSharedCollector returns a collector for the sources of one SharedWatch. The metrics of
// the watch do not add the sources up.
func NewSharedCollector(options ...Option) *Collector { return newCollector(true, options) }

// NewCollectorBy returns a collector of one source, which must feed store, a store that is
// divided by owners. It adds the owners up. Make it before Start: an executor that comes and goes
// while it begins to read may not be counted. If the source does not feed store, the collector says so
// as that of NewCollector does.
func NewCollectorBy[K comparable](source *watchsource.WatchSnapshotSource, store *watchsource.StoreBy[K], options ...Option) *Collector {
	c := newCollector(false, options)
	c.err = c.add(source, store, ownersView[K]{store})
	return c
}

func newCollector(shared bool, options []Option) *Collector {
	c := &Collector{
		shared:   shared,
		members:  map[*watchsource.WatchSnapshotSource]*member{},
		totals:   map[string]counts{},
		backlogs: map[backlogLabels]*backlog{},
	}
	for _, option := range options {
		option(c)
	}
	c.metrics = describe(c.perApp, c.perApp && !shared)
	return c
}

// Add adds a source and the store that it feeds. If the source is added before its Start, no
// end is missed: see the package documentation for the ends that count. Add returns an error if the
// source does not feed the store, see [watchsource.WatchSnapshotSource.Feeds], or was added with
// another store. If it was added with the same store, nothing changes.
func (c *Collector) Add(source *watchsource.WatchSnapshotSource, store *watchsource.Store) error {
	return c.add(source, store, storeView{store})
}

func (c *Collector) add(source *watchsource.WatchSnapshotSource, store watchsource.SnapshotsStore, view view) error {
	switch {
	case source == nil:
		return errors.New("metrics: the source is nil: pass the source that feeds the store")
	case !source.Feeds(store):
		return errors.New("metrics: the source does not feed the store, whose executors would be missing: pass the store that the source was made with")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if m := c.members[source]; m != nil {
		if m.view != view {
			return errors.New("metrics: the source was added with another store, and its executors would count twice: add one store for each source")
		}
		return nil
	}
	m := &member{source: source, view: view}
	if c.added {
		// The total has the events of the watch so far.
		status := source.Status()
		m.counted, m.stopped = countsOf(status), status.Phase == watchsource.Stopped
	}
	c.added = true
	c.members[source] = m
	m.ends = newEndReader(source, view, c.perApp, &c.ends)
	return nil
}

// Remove removes a source. Call it after Stop. It first counts the ends that wait, and the
// ends of the source stay counted.
func (c *Collector) Remove(source *watchsource.WatchSnapshotSource) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m := c.members[source]; m != nil {
		c.updateWatch()
		c.drop(m)
	}
}

// Close removes all sources.
func (c *Collector) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.updateWatch()
	for _, m := range c.members {
		c.drop(m)
	}
}

func (c *Collector) drop(m *member) {
	delete(c.members, m.source)
	m.ends.finish()
}

// Describe implements [prometheus.Collector].
func (c *Collector) Describe(out chan<- *prometheus.Desc) {
	if c.err != nil {
		out <- prometheus.NewInvalidDesc(c.err)
		return
	}
	for _, desc := range c.metrics.all() {
		out <- desc
	}
}

// Collect implements [prometheus.Collector].
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	if c.err != nil {
		out <- prometheus.NewInvalidMetric(prometheus.NewInvalidDesc(c.err), c.err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.collectExecutors(out)
	c.collectEnds(out)
	c.collectBacklogs(out)
	c.collectWatch(out)
}

// states are those of executors in a snapshot.
var states = []watchsource.State{watchsource.Unknown, watchsource.Pending, watchsource.Running, watchsource.Succeeded, watchsource.Failed}

// collectExecutors adds up the applications, or the sources with the same application.
func (c *Collector) collectExecutors(out chan<- prometheus.Metric) {
	counts := map[string]map[watchsource.State]int{}
	synced := map[string]time.Time{}
	if !c.perApp {
		counts[""] = map[watchsource.State]int{}
	}
	for _, m := range c.members {
		app := c.appOf(m.source)
		if counts[app] == nil {
			counts[app] = map[watchsource.State]int{}
		}
		for snapshot := range m.view.snapshots() {
			for _, state := range states {
				counts[app][state] += snapshot.Count(state)
			}
		}
		latest, _ := m.view.latest()
		if at := latest.SyncedAt(); !at.IsZero() && (synced[app].IsZero() || at.Before(synced[app])) {
			synced[app] = at
		}
	}
	for app, counts := range counts {
		for _, state := range states {
			out <- gauge(c.metrics.executors, float64(counts[state]), c.labels(app, state.String())...)
		}
	}
	for app, at := range synced {
		out <- gauge(c.metrics.synced, seconds(at), c.labels(app)...)
	}
}

// collectEnds collects the usual ends of each application from the beginning, with 0.
// Without that, Prometheus's function increase would miss the first of them.
func (c *Collector) collectEnds(out chan<- prometheus.Metric) {
	ends := c.ends.read()
	if !c.perApp {
		addUsual(ends, "")
	}
	for _, m := range c.members {
		addUsual(ends, c.appOf(m.source))
	}
	for labels, n := range ends {
		out <- counter(c.metrics.ends, n, c.labels(labels.app, labels.state, labels.reason)...)
	}
}

func addUsual(ends map[endLabels]float64, app string) {
	for _, usual := range usualEnds {
		ends[endLabels{app, usual.state, usual.reason}] += 0
	}
}

// collectBacklogs keeps the readers that it has seen, so that no time series ends.
func (c *Collector) collectBacklogs(out chan<- prometheus.Metric) {
	c.readBacklogs()
	for labels, b := range c.backlogs {
		out <- gauge(c.metrics.backlog, float64(b.changes), c.watchLabels(labels.app, labels.reader)...)
		out <- counter(c.metrics.drops, b.drops, c.watchLabels(labels.app, labels.reader)...)
	}
}

// readBacklogs updates the backlogs of all readers except its own.
func (c *Collector) readBacklogs() {
	for _, b := range c.backlogs {
		b.changes = 0
	}
	app := c.watchApp()
	for _, m := range c.members {
		dropped := map[string]int{}
		for _, waiting := range m.view.Backlogs() {
			if waiting.Reader == m.ends.name {
				continue
			}
			b := c.backlogOf(backlogLabels{app, waiting.Reader})
			b.changes += waiting.Changes
			if waiting.Dropped {
				dropped[waiting.Reader]++
			}
		}
		for reader, n := range dropped {
			c.backlogOf(backlogLabels{app, reader}).drops += float64(max(n-m.dropped[reader], 0))
		}
		m.dropped = dropped
	}
}

// backlogOf returns the backlog with some labels.
func (c *Collector) backlogOf(labels backlogLabels) *backlog {
	if c.backlogs[labels] == nil {
		c.backlogs[labels] = &backlog{}
	}
	return c.backlogs[labels]
}

func (c *Collector) collectWatch(out chan<- prometheus.Metric) {
	status, started := c.updateWatch()
	labels := c.watchLabels(c.watchApp())
	for app, total := range c.totals {
		for i, count := range total {
			out <- counter(c.metrics.counts[i], count, c.watchLabels(app)...)
		}
	}
	watching := 0.0
	if status.Phase == watchsource.Watching {
		watching = 1
	}
	out <- gauge(c.metrics.watching, watching, labels...)
	out <- gauge(c.metrics.started, float64(started), labels...)
	if !status.LastContact.IsZero() {
		out <- gauge(c.metrics.contact, seconds(status.LastContact), labels...)
	}
	if !status.LastVerification.IsZero() {
		out <- gauge(c.metrics.verified, seconds(status.LastVerification), labels...)
	}
	if status.Decoder != "" {
		out <- gauge(c.metrics.decoder, 1, c.watchLabels(c.watchApp(), status.Decoder)...)
	}
}

// appOf returns the application of a source, or "" if the collector adds them up.
func (c *Collector) appOf(source *watchsource.WatchSnapshotSource) string {
	if !c.perApp {
		return ""
	}
	return source.Status().AppID
}

// labels adds the application if the collector does not add them up.
func (c *Collector) labels(app string, values ...string) []string {
	if c.perApp {
		values = append(values, app)
	}
	return values
}

// watchApp returns the label app of the metrics of the watch, or "" if they have none.
func (c *Collector) watchApp() string {
	if !c.shared {
		for _, m := range c.members {
			return c.appOf(m.source)
		}
	}
	return ""
}

// watchLabels are labels of a metric of the watch.
func (c *Collector) watchLabels(app string, values ...string) []string {
	if c.perApp && !c.shared {
		return append(values, app)
	}
	return values
}

func gauge(desc *prometheus.Desc, value float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
}

func counter(desc *prometheus.Desc, value float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(desc, prometheus.CounterValue, value, labels...)
}

func seconds(t time.Time) float64 { return float64(t.UnixNano()) / 1e9 }
