// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/executorpods/watchsource/controller"
	"github.com/executorpods/watchsource/watchtest"
)

// managerLog has the lines of controller-runtime's logger.
var managerLog logLines

func TestMain(m *testing.M) {
	log.SetLogger(managerLog.logger())
	os.Exit(m.Run())
}

// logLines keep what a logger is given.
type logLines struct {
	mu    sync.Mutex
	lines []string
}

func (l *logLines) logger() logr.Logger {
	return funcr.New(func(prefix, args string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.lines = append(l.lines, prefix+" "+args)
	}, funcr.Options{Verbosity: 4})
}

func (l *logLines) require(t *testing.T, parts ...string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		found := 0
		for _, part := range parts {
			if strings.Contains(line, part) {
				found++
			}
		}
		if found == len(parts) {
			return
		}
	}
	t.Errorf("no line of the log has %q: %q", parts, l.lines)
}

// Without a logger in the options, the messages go to that of controller-runtime, and with one to
// that.
func TestMessagesGoToTheLoggerOfTheManager(t *testing.T) {
	start := func(options controller.Options) {
		options.Selector = selector
		watch := controller.New(watchtest.NewServer().Client(), controller.ByLabel(ownerLabel), options)
		source := watch.Source()
		must(t, source.Start(t.Context(), newQueue()))
		must(t, source.WaitForSync(t.Context()))
	}
	start(controller.Options{})
	managerLog.require(t, "watchsource", "Starting watch", "app=jobs")

	var own logLines
	start(controller.Options{Logger: own.logger().WithName("own")})
	own.require(t, "own", "Starting watch", "app=jobs")
}
