// SPDX-License-Identifier: Apache-2.0

package proxies

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/executorpods/watchsource/integration/cluster"
)

// What happens on the servers.
const (
	idle = "idle"
	busy = "busy"
	late = "idle, then busy"
)

// Sources watch an application through each proxy with each of its settings, over HTTP/1.1
// and HTTP/2, on a server where nothing happens and on one where other pods change. The
// application changes after half of the time and at its end. In between it is silent.
// After that the idle server becomes busy too, for half of the time.
func TestWatchThroughProxies(t *testing.T) {
	t.Parallel()
	crowded, err := cluster.Start(t.Context(), cluster.Setup{Store: cluster.Etcd}, func(line string) { t.Log(line) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := crowded.Stop(); err != nil {
			t.Error(err)
		}
	})
	for _, p := range programs {
		t.Run(p.name, func(t *testing.T) { t.Log(p.mustBeInstalled(t)) })
	}
	first, second := newScene(t, idle, quiet), newScene(t, busy, crowded)
	leave := second.crowd(t)
	ctx, cancel := context.WithCancel(t.Context())
	var looking sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		looking.Wait()
	})
	first.view(t)
	second.view(t)
	replace := second.viewReplaced(t)
	for _, v := range slices.Concat(first.viewers, second.viewers) {
		looking.Go(func() { v.look(ctx) })
	}
	pass := func(scenes ...*scene) {
		time.Sleep(*length / 2)
		for _, s := range scenes {
			s.change(t)
		}
	}
	pass(first, second)
	replace()
	pass(first, second)
	leave(t)
	var table strings.Builder
	first.judge(t, &table)
	second.judge(t, &table)

	first.name = late
	leave = first.crowd(t)
	pass(first)
	leave(t)
	first.judge(t, &table)
	t.Logf("%v:\n%s%s", *length, tableHead, &table)
}
