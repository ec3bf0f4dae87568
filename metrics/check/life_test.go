// SPDX-License-Identifier: Apache-2.0

package check

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/executorpods/watchsource/watchtest"
)

// A real Prometheus server scrapes a scheduler through a restart, an outage and a stop. The alerts fire
// when they should, and not for what has ended days ago.
func TestLifeOfAScheduler(t *testing.T) {
	target := newTarget(t)
	p := startServer(t, strings.TrimPrefix(target.server.URL, "http://"))
	cluster := watchtest.NewServer()
	eachNamed("old", 6, func(name string) {
		createOld(cluster, name)
		kill(cluster, name, time.Now().Add(-71*time.Hour))
	})
	eachNamed("present", 5, func(name string) { createOld(cluster, name) })
	first := target.start(t, cluster)
	t.Cleanup(target.stop)
	p.await("some scrapes", p.has("count_over_time(watchsource_watching[8s]) > 12 and watchsource_watching == 1"))
	p.wantNever("WatchsourceExecutorsOutOfMemory", time.Minute)

	eachNamed("present", 5, func(name string) { kill(cluster, name, time.Now()) })
	p.await("the alert for five executors", p.fires("WatchsourceExecutorsOutOfMemory", "5 executors were killed"))
	wantData(t, p, false)
	wantHealthyRules(t, p)
	p.await("the end of that alert", p.silent("WatchsourceExecutorsOutOfMemory"))

	lift := cluster.Inject(watchtest.Fault{On: watchtest.List | watchtest.Watch | watchtest.StreamingList, Do: watchtest.Refuse()})
	cluster.Strike(watchtest.Cut())
	p.await("the alert for a blind watch", p.fires("WatchsourceBlind", "The API server last answered"))
	p.await("the alert for no watch", p.fires("WatchsourceNotWatching", ""))
	lift()
	p.await("the end of both", func() bool { return p.silent("WatchsourceBlind")() && p.silent("WatchsourceNotWatching")() })

	dropBacklog(t, first, cluster)
	p.await("the alert for a dropped backlog", p.fires("WatchsourceBacklogDropped", "The reader at life_test.go:"))
	wantData(t, p, true)

	// The next process finds one pod less than were killed: if it counted them all, its counter would be
	// lower, and Prometheus would take all of them for new.
	cluster.Delete("default", "present-0")
	target.stop()
	p.await("a scrape that fails", p.has("up == 0"))
	restarted := time.Now()
	target.start(t, cluster)
	p.await("scrapes of the next process", p.has("min_over_time(up[3s]) == 1 and count_over_time(up[3s]) > 10"))
	p.wantNever("WatchsourceExecutorsOutOfMemory", time.Since(restarted))

	target.stop()
	p.await("the alert for an absent target", p.fires("WatchsourceAbsent", "Prometheus has scraped no scheduler"))
	p.await("no other alert", p.silent("WatchsourceBlind"))
}

// wantNever fails if an alert has fired within a time.
func (s *server) wantNever(name string, within time.Duration) {
	s.t.Helper()
	query := fmt.Sprintf("count_over_time(ALERTS{alertname=%q,alertstate=\"firing\"}[%dms])", name, within.Milliseconds())
	if n, err := s.query(query); err != nil || n != 0 {
		s.t.Errorf("%s has fired (%v), want no alert", name, err)
	}
}

// ofReaders are the panels about readers, which are empty unless a reader lags.
var ofReaders = map[string]bool{"Changes that wait for readers": true, "Dropped backlogs": true}

// wantData fails unless each query of the dashboard has data: of the panels about readers, or of the
// others.
func wantData(t *testing.T, p *server, readers bool) {
	t.Helper()
	for _, panel := range readDashboard(t).Panels {
		if ofReaders[panel.Title] != readers {
			continue
		}
		for _, target := range panel.Targets {
			p.await("data of panel "+panel.Title, p.has(variables.Replace(target.Expr)))
		}
	}
}

// wantHealthyRules fails unless each rule can be evaluated.
func wantHealthyRules(t *testing.T, p *server) {
	t.Helper()
	var data struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError string }
		}
	}
	if err := p.get("/api/v1/rules", &data); err != nil || len(data.Groups) != 1 {
		t.Fatalf("%d groups of rules (%v), want 1", len(data.Groups), err)
	}
	for _, rule := range data.Groups[0].Rules {
		if rule.Health != "ok" {
			t.Errorf("rule %s is %s: %s", rule.Name, rule.Health, rule.LastError)
		}
	}
}

// dropBacklog makes a reader of the scheduler lag until its backlog is dropped.
func dropBacklog(t *testing.T, s *scheduler, cluster *watchtest.Server) {
	t.Helper()
	began, hold := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(hold) })
	go func() {
		for range s.store.Batches(t.Context(), 0) {
			close(began)
			<-hold
			return
		}
	}()
	<-began
	eachNamed("many", 150, func(name string) { createOld(cluster, name) })
}
