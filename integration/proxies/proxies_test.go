// SPDX-License-Identifier: Apache-2.0

package proxies

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/executorpods/watchsource/integration/cluster"
)

// The names of the two servers.
const (
	idle = "idle"
	busy = "busy"
)

// Sources watch an application through each proxy with each of its settings, over HTTP/1.1
// and HTTP/2, on a server where nothing happens and on one where other pods change. The
// application changes after half of the time and at its end. In between it is silent.
func TestWatchThroughProxies(t *testing.T) {
	t.Parallel()
	crowded, err := cluster.Start(t.Context(), func(line string) { t.Log(line) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := crowded.Stop(); err != nil {
			t.Error(err)
		}
	})
	scenes := []*scene{newScene(t, idle, quiet), newScene(t, busy, crowded)}
	stop := scenes[1].crowd(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var looking sync.WaitGroup
	for _, s := range scenes {
		s.view(t)
	}
	replace := scenes[1].viewReplaced(t)
	for _, s := range scenes {
		for _, v := range s.viewers {
			looking.Go(func() { v.look(ctx) })
		}
	}
	for _, then := range []func(){replace, cancel} {
		time.Sleep(*length / 2)
		for _, s := range scenes {
			s.change(t)
		}
		then()
	}
	looking.Wait()
	if rate := stop(); rate < otherChanges/2 {
		t.Errorf("the busy server was not busy: %.0f changes a second, want %d", rate, otherChanges)
	}

	for _, p := range programs {
		t.Run(p.name, func(t *testing.T) { t.Log(p.mustBeInstalled(t)) })
	}
	var table strings.Builder
	for _, s := range scenes {
		for _, v := range s.viewers {
			t.Run(v.title, v.judge)
			table.WriteString(v.row())
		}
	}
	t.Logf("%v:\n%s%s", *length, tableHead, &table)
}
