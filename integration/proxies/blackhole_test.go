// SPDX-License-Identifier: Apache-2.0

package proxies

import (
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/executorpods/watchsource"
)

// nginx stands still for longer than a watch may be silent, with all timers at their defaults.
// Its connections stay open. Each source says so in time, and resumes when nginx continues.
func TestBlackHole(t *testing.T) {
	const (
		// A stream may be silent for 150 s, and the phase changes when no watch was open for
		// five seconds. The rest is for a busy machine.
		noticed = (150 + 5 + 5) * time.Second
		// A liveness probe that allows three minutes of silence fails after that.
		reported   = 3*time.Minute + 5*time.Second
		standstill = 200 * time.Second
		// The longest pause between two attempts is 45 s, and a TLS handshake may take ten.
		back = (45 + 10 + 5) * time.Second
	)
	if *length < standstill {
		t.Skipf("takes five minutes: only with -length of at least %v", standstill)
	}
	nginx.mustBeInstalled(t)
	t.Parallel()
	s := newScene(t, "black hole", quiet)
	proxy := s.viewThrough(t, nginx)
	// The first watches, with the initial events, end or are cut within this time, so
	// that the heads of the next ones are held back.
	time.Sleep(70 * time.Second)

	for _, v := range s.viewers {
		if phase := v.source.Status().Phase; phase != watchsource.Watching {
			t.Errorf("%s: in phase %v before", v.title(), phase)
		}
	}
	proxy.signal(syscall.SIGSTOP)
	begin := time.Now()
	var looking sync.WaitGroup
	for _, v := range s.viewers {
		looking.Go(func() {
			until(begin.Add(standstill), func() bool { return v.source.Status().Phase == watchsource.Retrying })
			phase := time.Since(begin)
			until(begin.Add(standstill), func() bool { return v.source.Healthy(3*time.Minute) != nil })
			health := time.Since(begin)
			t.Logf("%s: Retrying after %v, unhealthy after %v: %v", v.title(), phase.Round(time.Second/10), health.Round(time.Second/10), v.source.Healthy(3*time.Minute))
			if phase > noticed || health > reported {
				t.Errorf("%s: noticed after %v, want %v; unhealthy after %v, want %v", v.title(), phase, noticed, health, reported)
			}
		})
	}
	looking.Wait()
	if left := standstill - time.Since(begin); left > 0 {
		time.Sleep(left)
	}

	name := s.pod(appID, 1).Name
	version, err := s.touch(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	proxy.signal(syscall.SIGCONT)
	var waiting sync.WaitGroup
	for _, v := range s.viewers {
		waiting.Go(func() { v.await(t.Context(), name, version) })
	}
	waiting.Wait()
	for _, v := range s.viewers {
		status, after := v.source.Status(), v.arrivals[0]
		t.Logf("%s: back after %v: %+v\n%s\n%s", v.title(), after.Round(time.Second/10), status, v.log.page(), v.wire)
		if after > back || status.Phase != watchsource.Watching || status.Relists != 0 {
			t.Errorf("%s: back after %v, want %v; phase %v, %d relists", v.title(), after, back, status.Phase, status.Relists)
		}
	}
}

// until waits until happened returns true, or for no longer than a deadline.
func until(deadline time.Time, happened func() bool) {
	for !happened() && time.Now().Before(deadline) {
		time.Sleep(lookInterval)
	}
}
