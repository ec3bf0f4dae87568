// SPDX-License-Identifier: Apache-2.0

package screen

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/executorpods/watchsource/watchtest"
)

// A program that no shell can continue shows a notice for a while. Others are suspended.
func TestSuspend(t *testing.T) {
	const text = "cannot suspend: no job control here"
	for _, suspendable := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			m := open(t, watchtest.NewServer(), testApp, 40, 10).stop()
			m.suspendable = func() bool { return suspendable }
			_, cmd := m.Update(tea.KeyPressMsg{Code: 'z', Mod: tea.ModCtrl})
			if suspends := cmd != nil; suspends != suspendable {
				t.Fatalf("suspendable %v: suspended %v", suspendable, suspends)
			}
			if suspendable {
				if _, ok := cmd().(tea.SuspendMsg); !ok {
					t.Errorf("got %T, want a SuspendMsg", cmd())
				}
			}
			foot := func() string { return m.frame()[9] }
			if strings.Contains(foot(), text) == suspendable {
				t.Errorf("suspendable %v: the last line is %q", suspendable, foot())
			}
			time.Sleep(noticeFor)
			m.Update(tickMsg{})
			if strings.Contains(foot(), text) {
				t.Errorf("after %s the last line is %q, want no notice", noticeFor, foot())
			}
		})
	}
}
