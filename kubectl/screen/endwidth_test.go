// SPDX-License-Identifier: Apache-2.0

package screen

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"github.com/executorpods/watchsource/watchtest"
)

// The time of an end is whole at each width that has a column for the time. A screen of
// less than 60 columns has the namespace in its place, if there are several.
func TestTimesOfEndsFit(t *testing.T) {
	for _, severalNamespaces := range []bool{false, true} {
		t.Run(fmt.Sprintf("several namespaces %v", severalNamespaces), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { requireEndTimes(t, severalNamespaces) })
		})
	}
}

func requireEndTimes(t *testing.T, severalNamespaces bool) {
	t.Helper()
	server, narrowest := watchtest.NewServer(), 40
	if severalNamespaces {
		narrowest = 60
		pod := executorPod(testApp, 3)
		pod.Namespace = "staging"
		server.Create(pod)
	}
	c := cluster{server, testApp}
	c.create(1, 2)
	c.run(1, 2)
	c.evict(1)
	term := openIn(t, server, "", testApp, 80, 24)
	c.end(2, 137, "OOMKilled")
	term.settle()
	m := term.stop()
	for width := narrowest; width <= 140; width++ {
		m.Update(tea.WindowSizeMsg{Width: width, Height: 24})
		if screen := ansi.Strip(strings.Join(m.frame(), "\n")); !hasEnds(screen) {
			t.Errorf("%d columns: want whole times:\n%s", width, screen)
		}
	}
}

func hasEnds(screen string) bool {
	return strings.Contains(screen, " before 00:00:00") && strings.Count(screen, " 00:00:00") == 2
}
