// SPDX-License-Identifier: Apache-2.0

package modeltest

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// trace records the steps of a schedule. The test logs them if the schedule fails.
type trace struct {
	began time.Time
	mu    sync.Mutex
	lines []string
}

func (t *trace) add(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, fmt.Sprintf("%9.3fs  ", time.Since(t.began).Seconds())+fmt.Sprintf(format, args...))
}

func (t *trace) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.lines, "\n")
}
