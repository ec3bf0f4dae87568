// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"math/rand/v2"
	"testing"
	"time"
)

// A fault is something that goes wrong between the watchers and their view.
type fault struct {
	name string
	// strike lets it happen, and returns when it is over.
	strike func(*round, *testing.T)
	// breaks says that no watch survives it.
	breaks bool
	// forgets says that the server may have forgotten the version to resume
	// from, and certain that it has.
	forgets, certain bool
	// fresh says that watchsource, too, gets a separate client for the round.
	fresh bool
	// proxied says the same, and that both watchers are behind the TLS proxy. No
	// ping shows the fault to them, so the stall timer must.
	proxied bool
	// restores says that the server begins a new history. watchsource gets another
	// client and a short stall timeout for the round: it finds out when the server
	// comes back, or else when the watch has been silent for that long.
	restores bool
	// cuts says that both watchers are behind the tlsProxy, which cuts streams.
	cuts bool
	// patience is how long recovery may take, if not limit.
	patience time.Duration
}

var faults = []fault{
	{name: "connection reset", breaks: true, strike: (*round).reset},
	{name: "server unreachable", breaks: true, strike: (*round).unreachable},
	{name: "black hole", breaks: true, strike: (*round).blackHole},
	{name: "slow link", strike: (*round).slowLink},
	{name: "cut in mid-frame", breaks: true, strike: (*round).cutInMidFrame},
	{name: "proxy swallows the stream", breaks: true, proxied: true, patience: silentPatience, strike: (*round).swallowStream},
	{name: "API server killed", breaks: true, forgets: true, strike: (*round).killAPIServer},
	{name: "API server stands still", strike: (*round).standStill},
	{name: "API server stands still behind a proxy", breaks: true, proxied: true, strike: (*round).standStillForLong},
	{name: "etcd killed", forgets: true, strike: (*round).restartEtcd},
	{name: "idle streams cut", breaks: true, cuts: true, strike: (*round).cutIdleStreams},
	{name: "version expired", breaks: true, forgets: true, certain: true, strike: (*round).expire},
	{name: "rights taken away", breaks: true, strike: (*round).takeRights},
	{name: "token revoked and rotated", breaks: true, fresh: true, patience: tokenPatience, strike: (*round).rotateToken},
	{name: "etcd restored from a backup", breaks: true, restores: true, strike: (*round).restoreEtcd},
}

func (s *round) reset(*testing.T) { s.link.reset() }

func (s *round) unreachable(t *testing.T) {
	s.link.shut()
	s.lasts(t, time.Second, 5*time.Second)
	s.link.open(t)
}

func (s *round) blackHole(t *testing.T) {
	s.link.swallow()
	// A client that connects within it waits for client-go's TLS timeout of 10 s.
	s.lasts(t, 0, 8*time.Second)
	s.link.hear()
}

func (s *round) slowLink(t *testing.T) {
	s.link.pace.Store(2000 + s.rng.Int64N(8000))
	s.lasts(t, 2*time.Second, 5*time.Second)
	s.link.pace.Store(0)
}

// cutInMidFrame lets a connection carry enough for part of an event or of a
// list, and sometimes not enough for TLS to begin.
func (s *round) cutInMidFrame(t *testing.T) {
	// The link draws while s.rng is in use elsewhere.
	lengths := rand.New(rand.NewPCG(s.rng.Uint64(), 3))
	s.link.shorten(func() int64 { return 200 + lengths.Int64N(20000) })
	s.lasts(t, 2*time.Second, 5*time.Second)
	s.link.shorten(nil)
	s.link.reset() // should one have had nothing to carry
}

func (s *round) swallowStream(*testing.T) { s.tlsProxy.freeze() }

// cutIdleStreams lets the application rest, so that the tlsProxy cuts the
// streams, which it does from the start of the round.
func (s *round) cutIdleStreams(t *testing.T) {
	s.application.mu.Lock()
	s.lasts(t, 8*time.Second, 12*time.Second)
	s.application.mu.Unlock()
	s.tlsProxy.idle.Store(0)
}

// restoreEtcd loses some seconds of the application's life, and so many versions
// that the new history does not reach the versions held within the round.
func (s *round) restoreEtcd(t *testing.T) {
	backup, err := server.Backup(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.lasts(t, 2*time.Second, 4*time.Second)
	if err := server.AdvanceVersion(t.Context(), 10_000); err != nil {
		t.Fatal(err)
	}
	s.application.mark(t) // so that the watchers hold such a version
	s.lasts(t, time.Second, 2*time.Second)
	s.application.mu.Lock()
	defer s.application.mu.Unlock()
	s.link.shut()
	if err := backup.Restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.application.stages = [executors]stage{}
	for id := range s.application.stages {
		s.application.stages[id] = unclear
	}
	s.link.open(t)
}

func (s *round) killAPIServer(t *testing.T) {
	if err := server.KillAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.link.shut() // as the port is, which is another one for the watchers
	if err := server.StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.link.open(t)
}

func (s *round) standStill(t *testing.T) { s.pauseAPIServer(t, 2*time.Second, 8*time.Second) }

func (s *round) standStillForLong(t *testing.T) {
	s.pauseAPIServer(t, stallTimeout+time.Second, stallTimeout+4*time.Second)
}

func (s *round) pauseAPIServer(t *testing.T, from, to time.Duration) {
	resume, err := server.PauseAPIServer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.lasts(t, from, to)
	if err := resume(); err != nil {
		t.Fatal(err)
	}
}

func (s *round) restartEtcd(t *testing.T) {
	if err := server.RestartStore(t.Context(), s.between(0, 3*time.Second)); err != nil {
		t.Fatal(err)
	}
}

// expire changes pods while no watch is open, until neither etcd nor the API server has
// the versions from which the watches would resume.
func (s *round) expire(t *testing.T) {
	s.link.shut()
	s.lasts(t, 500*time.Millisecond, 2*time.Second)
	if err := server.StopAPIServer(); err != nil {
		t.Fatal(err)
	}
	if err := server.CompactEtcd(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := server.StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.link.open(t)
}

func (s *round) takeRights(t *testing.T) {
	s.identity.forbid(t)
	s.link.reset() // the rights of an open watch are not checked again
	s.lasts(t, time.Second, 5*time.Second)
	s.identity.allow(t)
}

// rotateToken replaces a token only after it has been revoked. client-go uses the token
// that it has read from the file for 50 seconds, even if it is refused, and no watcher can
// change that. Both watchers begin to read the file in this round, so neither has an
// advantage.
func (s *round) rotateToken(t *testing.T) {
	s.identity.revoke(t)
	s.link.reset()
	s.lasts(t, 0, 3*time.Second)
	s.identity.write(t)
}
