// SPDX-License-Identifier: Apache-2.0

// Package screen shows the executors of applications in a terminal, and updates them in place.
//
// One goroutine ranges over the batches of a store, a second sends them as messages to the program
// of Bubble Tea, and a third sends a tick each second. The model keeps the rows, and a frame reads
// only the visible ones.
package screen

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/term"
	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/sleep"
	"github.com/executorpods/watchsource/kubectl/application"
)

const (
	// frameInterval is the shortest time between two frames.
	frameInterval = 100 * time.Millisecond
	// tickInterval is the time between two frames while nothing changes: ages grow.
	tickInterval = time.Second
	// maxBatches bounds the batches that wait for a message. Each application has its own batch, and
	// a message costs a frame.
	maxBatches = 1024
)

// A Config has what a screen shows.
type Config struct {
	// AppID is the name of the application to show, as in application.Named. If it is empty, the
	// screen begins with a list of all applications.
	AppID string
	// Namespace is where the executors are, empty for all namespaces.
	Namespace string
	// Source is the source that feeds Store. It is started.
	Source *watchsource.WatchSnapshotSource
	Store  application.Reader
}

// Run shows the screen until the user quits or ctx ends. It returns after its goroutines have
// ended. It fails if the standard output is not a terminal.
func Run(ctx context.Context, config Config) error {
	if !term.IsTerminal(os.Stdout.Fd()) {
		return errors.New("screen: the output is not a terminal")
	}
	return run(ctx, config, newProgram(ctx, newModel(config)))
}

func newProgram(ctx context.Context, m *model, opts ...tea.ProgramOption) *tea.Program {
	return tea.NewProgram(m, append([]tea.ProgramOption{
		tea.WithContext(ctx),
		tea.WithoutSignalHandler(), // a signal ends ctx
		tea.WithFPS(int(time.Second / frameInterval)),
	}, opts...)...)
}

// run shows the screen of a program until it ends.
func run(ctx context.Context, config Config, program *tea.Program) error {
	feedCtx, cancel := context.WithCancel(ctx)
	var feeding sync.WaitGroup
	batches := make(chan appBatch, maxBatches)
	feeding.Go(func() {
		defer close(batches)
		for app, batch := range config.Store.Batches(feedCtx, frameInterval) {
			batches <- appBatch{app, batch.Changes, batch.Full, batch.Snapshot.SyncedAt()}
		}
	})
	feeding.Go(func() {
		for batch := range batches {
			program.Send(batchesMsg(withNext(batch, batches)))
		}
	})
	feeding.Go(func() {
		for sleep.For(feedCtx, tickInterval) {
			program.Send(tickMsg{})
		}
	})
	_, err := program.Run()
	cancel()
	feeding.Wait()
	if ctx.Err() != nil && errors.Is(err, tea.ErrProgramKilled) {
		return nil // the caller has ended it
	}
	return err
}

// withNext returns a batch and those that wait behind it.
func withNext(first appBatch, waiting <-chan appBatch) []appBatch {
	all := []appBatch{first}
	for {
		select {
		case batch, ok := <-waiting:
			if !ok {
				return all
			}
			all = append(all, batch)
		default:
			return all
		}
	}
}
