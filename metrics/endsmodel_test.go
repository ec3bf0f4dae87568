// SPDX-License-Identifier: Apache-2.0

package metrics_test

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/metrics"
	"github.com/executorpods/watchsource/watchtest"
)

var endsSeed = flag.Uint64("ends", 0, "seed of the one random history of TestEndsModel, 0 for many")

// outside is an application that no source of the histories watches.
const outside = "outside"

// A modelPod is what the model knows of a pod.
type modelPod struct {
	app     string
	reason  string // of the end of its run, "" while it runs
	latest  time.Time
	counted bool // the end of its run
	// seenBy is the application whose reader has seen the pod, with its reason at that time.
	seenBy, seenReason string
}

// An endsModel makes random histories, and counts the ends in the obvious way.
type endsModel struct {
	t         *testing.T
	random    *rand.Rand
	shared    bool // the applications share a watch
	server    *watchtest.Server
	collector *metrics.Collector
	apps      map[string]*application
	began     map[string]time.Time // when each application that the collector has was added
	started   map[string]bool
	pods      map[string]*modelPod
	next      int
	lift      func() // ends the outage, nil if there is none
	want      map[string]int
	log       []string
}

func newEndsModel(t *testing.T, seed uint64) *endsModel {
	m := &endsModel{
		t: t, random: rand.New(rand.NewPCG(seed, 0)), server: watchtest.NewServer(), apps: map[string]*application{},
		began: map[string]time.Time{}, started: map[string]bool{}, pods: map[string]*modelPod{}, want: map[string]int{},
	}
	newSource := single(m.server)
	if m.shared = seed%2 == 0; m.shared {
		newSource = watchsource.NewSharedWatch(m.server.Client()).Source
	}
	m.collector = metrics.NewSharedCollector()
	if seed%4 < 2 {
		m.collector = metrics.NewSharedCollector(metrics.PerApplication())
	}
	for _, id := range []string{"one", "two", "three"} {
		m.apps[id] = newApplication(id, newSource)
	}
	return m
}

func (m *endsModel) watches(app string) bool {
	return m.started[app] && m.lift == nil
}

// count counts the end of a pod that the reader of its application sees.
func (m *endsModel) count(p *modelPod) {
	if !p.counted && p.reason != "" {
		m.want[p.reason]++
		p.counted = true
	}
}

// see notes that the source of an application has the newest state of a pod.
func (m *endsModel) see(p *modelPod) {
	if m.began[p.app].IsZero() {
		return // the collector does not have the source
	}
	wasSeen := p.seenBy == p.app
	isNew := !p.latest.Before(m.began[p.app])
	if p.reason != "" && (wasSeen && p.seenReason == "" || !wasSeen && isNew) {
		m.count(p)
	}
	p.seenBy, p.seenReason = p.app, p.reason
}

// leave notes that a pod is gone.
func (m *endsModel) leave(p *modelPod) {
	if p.seenBy != "" && p.seenReason == "" {
		m.want["none"]++
	}
}

// sync brings a source up to date.
func (m *endsModel) sync(app string) {
	for _, name := range slices.Sorted(maps.Keys(m.pods)) {
		p := m.pods[name]
		switch {
		case p.app == app:
			m.see(p)
		case p.seenBy == app: // it is gone
			m.leave(p)
			p.seenBy = ""
		}
	}
}

func (m *endsModel) pick(of func(*modelPod) bool) (string, *modelPod) {
	var names []string
	for name, p := range m.pods {
		if p.app != "" && of(p) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "", nil
	}
	slices.Sort(names)
	name := names[m.random.IntN(len(names))]
	return name, m.pods[name]
}

func (m *endsModel) pickApp() string {
	return []string{"one", "two", "three"}[m.random.IntN(3)]
}

func (m *endsModel) note(format string, arguments ...any) {
	m.log = append(m.log, fmt.Sprintf(format, arguments...))
}

// changed brings the source of a pod up to date, if it watches.
func (m *endsModel) changed(p *modelPod) {
	if m.watches(p.app) {
		m.see(p)
	}
}

func (m *endsModel) create() {
	name := fmt.Sprint("exec-", m.next)
	m.next++
	app := []string{"one", "two", "three", outside}[m.random.IntN(4)]
	m.note("create %s of %s", name, app)
	createPod(m.server, app, name)
	m.pods[name] = &modelPod{app: app, latest: time.Now()}
	m.changed(m.pods[name])
}

func (m *endsModel) end() {
	name, p := m.pick(func(p *modelPod) bool { return p.reason == "" })
	if p == nil {
		return
	}
	switch m.random.IntN(3) {
	case 0:
		p.reason = "Evicted"
		evict(m.server, name)
	case 1:
		p.reason, p.latest = killed, time.Now()
		endNow(m.server, name, killed)
	default:
		p.reason, p.latest = "Error", time.Now()
		endNow(m.server, name, "Error")
	}
	m.note("end %s: %s", name, p.reason)
	m.changed(p)
}

// restart runs an executor again whose application is watched, so that no end is hidden.
func (m *endsModel) restart() {
	name, p := m.pick(func(p *modelPod) bool {
		return (p.reason == killed || p.reason == "Error") && m.watches(p.app) && !m.began[p.app].IsZero()
	})
	if p == nil {
		return
	}
	m.note("restart %s", name)
	p.reason, p.counted, p.latest = "", false, time.Now()
	restart(m.server, name)
	m.changed(p)
}

func (m *endsModel) delete() {
	name, p := m.pick(func(*modelPod) bool { return true })
	if p == nil {
		return
	}
	m.note("delete %s", name)
	m.server.Delete("default", name)
	synctest.Wait()
	was := p.app
	p.app = ""
	if m.watches(was) {
		m.sync(was)
	}
}

// move moves a pod between applications that are watched, or from and to the outside.
func (m *endsModel) move() {
	to := []string{"one", "two", "three", outside}[m.random.IntN(4)]
	ok := func(app string) bool { return app == outside || m.watches(app) && !m.began[app].IsZero() }
	name, p := m.pick(func(p *modelPod) bool { return p.app != to && ok(p.app) && ok(to) })
	if p == nil {
		return
	}
	m.note("move %s from %s to %s", name, p.app, to)
	relabel(m.server, name, watchsource.LabelApp, to)
	if !m.shared { // kube-apiserver says that the pod is deleted
		m.leave(p)
	}
	p.app, p.seenBy = to, ""
	m.changed(p)
}

func (m *endsModel) outage() {
	if m.lift != nil {
		m.note("the outage ends")
		m.server.Compact() // the sources must list
		m.lift()
		m.lift = nil
		time.Sleep(5 * time.Minute)
		for app := range m.started {
			m.sync(app)
		}
		return
	}
	m.note("an outage")
	m.lift = m.server.Inject(watchtest.Fault{On: watchtest.List | watchtest.Watch | watchtest.StreamingList, Do: watchtest.Refuse()})
	m.server.Strike(watchtest.Cut())
	synctest.Wait()
}

func (m *endsModel) startOrStop() {
	app := m.pickApp()
	if m.started[app] {
		m.note("stop %s", app)
		m.apps[app].source.Stop()
		delete(m.started, app)
	} else if m.lift == nil {
		m.note("start %s", app)
		m.apps[app].start(m.t)
		m.started[app] = true
		synctest.Wait()
		m.sync(app)
	}
}

// addOrRemove adds a source to the collector at any time, and removes it.
func (m *endsModel) addOrRemove() {
	app := m.pickApp()
	if _, has := m.began[app]; has {
		m.note("remove %s", app)
		m.collector.Remove(m.apps[app].source)
		delete(m.began, app)
		for _, p := range m.pods {
			if p.seenBy == app {
				p.seenBy = ""
			}
		}
		return
	}
	if m.lift != nil || len(m.started) > 0 && !m.started[app] {
		return // what the store has is old
	}
	m.note("add %s", app)
	m.apps[app].addTo(m.t, m.collector)
	m.began[app] = time.Now()
	synctest.Wait()
	if m.started[app] {
		m.sync(app)
	}
}

func (m *endsModel) step() {
	time.Sleep(time.Duration(1+m.random.IntN(100)) * time.Second)
	switch n := m.random.IntN(100); {
	case n < 25:
		m.create()
	case n < 50:
		m.end()
	case n < 60:
		m.restart()
	case n < 70:
		m.delete()
	case n < 80:
		m.move()
	case n < 88:
		m.startOrStop()
	case n < 93:
		m.outage()
	default:
		m.addOrRemove()
	}
	synctest.Wait()
}

// Random histories of three applications count as a simple model counts them: executors that end, run
// again, leave and move, outages with lists, and sources that come, go, start and stop.
func TestEndsModel(t *testing.T) {
	first, n := uint64(1), uint64(100)
	if *endsSeed != 0 {
		first, n = *endsSeed, 1
	}
	for seed := first; seed < first+n && !t.Failed(); seed++ {
		synctest.Test(t, func(t *testing.T) {
			m := newEndsModel(t, seed)
			defer m.collector.Close()
			for range 80 {
				m.step()
				if got, want := fmt.Sprint(endsOf(t, m.collector)), fmt.Sprint(m.want); got != want {
					t.Fatalf("seed %d: ends %s, want %s after:\n%q", seed, got, want, m.log)
				}
			}
		})
	}
}
