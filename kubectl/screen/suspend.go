// SPDX-License-Identifier: Apache-2.0

package screen

import (
	"time"

	tea "charm.land/bubbletea/v2"
)

// noticeFor is how long the last line shows a notice.
const noticeFor = 4 * time.Second

// A notice is shown in the last line for a while.
type notice struct {
	text  string
	until time.Time
}

// suspend stops the program like any other at Ctrl-Z. Without a shell that can
// continue it the system does not stop it, and Bubble Tea would wait for a SIGCONT for ever.
func (m *model) suspend() tea.Cmd {
	if m.suspendable() {
		return tea.Suspend
	}
	m.notice = notice{"cannot suspend: no job control here", time.Now().Add(noticeFor)}
	return nil
}
