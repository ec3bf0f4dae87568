// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/internal/test/podtest"
	"github.com/executorpods/watchsource/watchtest"
)

// A stage is what the commands of a story act on: a server, and a source with its store.
type stage struct {
	t         *testing.T
	newSource modeltest.NewSource
	server    *watchtest.Server
	store     *watchsource.Store
	// source is nil before the first start.
	source *watchsource.WatchSnapshotSource
	log    logLines
	faults []namedFault
	// restore is what the last backup returned.
	restore func()
	// reader is nil before the first command "batches".
	reader func() (watchsource.Batch, bool)
	// written is the resource version of the last change of a pod.
	written string
	// shownRequests and shownLog count what earlier commands have shown.
	shownRequests, shownLog int
	// marked is the number of requests before the last "mark".
	marked int

	mu       sync.Mutex
	observed []string
}

// A namedFault is a fault that "lift" can end.
type namedFault struct {
	name string
	lift func()
}

// A command executes one line of a story and returns its answer.
type command func(*stage, *arguments) ([]string, error)

// commands has the commands by name. The README in testdata/stories describes them.
var commands = map[string]command{
	"only":     func(_ *stage, args *arguments) ([]string, error) { args.rest(); return nil, nil }, // parseStory has read it
	"server":   (*stage).makeServer,
	"create":   (*stage).create,
	"update":   (*stage).update,
	"delete":   (*stage).remove,
	"compact":  (*stage).compact,
	"backup":   (*stage).backUp,
	"restore":  (*stage).restoreBackup,
	"advance":  (*stage).advance,
	"start":    (*stage).start,
	"stop":     (*stage).stop,
	"sleep":    (*stage).sleep,
	"settle":   (*stage).settle,
	"await":    (*stage).await,
	"strike":   (*stage).strike,
	"inject":   (*stage).inject,
	"lift":     (*stage).lift,
	"mark":     (*stage).mark,
	"want":     (*stage).want,
	"view":     (*stage).view,
	"batches":  (*stage).batches,
	"requests": (*stage).requests,
	"observed": (*stage).observations,
	"status":   (*stage).status,
	"healthy":  (*stage).healthy,
	"log":      (*stage).logged,
}

// do executes a line of a story.
func (s *stage) do(line string) ([]string, error) {
	args := newArguments(line)
	execute, ok := commands[args.command]
	if !ok {
		return nil, errors.New("unknown command")
	}
	if s.server == nil && args.command != "server" {
		s.setServer(watchtest.NewServer())
	}
	answer, err := execute(s, args)
	if err == nil {
		err = args.unused()
	}
	return answer, err
}

func (s *stage) setServer(server *watchtest.Server) {
	s.server, s.store = server, watchsource.NewStore()
}

// close ends everything that runs.
func (s *stage) close() {
	if s.source != nil {
		s.source.Stop()
	}
}

// serverOptions has the options of a server without values.
var serverOptions = map[string]func() watchtest.Option{
	"without-streaming-lists": watchtest.WithoutStreamingLists,
	"expired-at-connect":      watchtest.WithExpiredAtConnect,
}

func (s *stage) makeServer(args *arguments) ([]string, error) {
	if s.server != nil {
		return nil, errors.New(`"server" must come before all commands but "only"`)
	}
	var options []watchtest.Option
	if interval, ok := args.duration("bookmarks"); ok {
		options = append(options, watchtest.WithBookmarkInterval(interval))
	}
	for _, name := range args.rest() {
		option, ok := serverOptions[name]
		if !ok {
			return nil, fmt.Errorf("unknown option of a server: %s", name)
		}
		options = append(options, option())
	}
	s.setServer(watchtest.NewServer(options...))
	return nil, args.err
}

func (s *stage) create(args *arguments) ([]string, error) {
	id, state := args.word("id"), args.phase(corev1.PodPending)
	if args.err != nil {
		return nil, args.err
	}
	if s.has(id) {
		return nil, fmt.Errorf("exec-%s exists", id)
	}
	s.written = s.server.Create(pod(id, phase(state))).ResourceVersion
	return nil, nil
}

func (s *stage) update(args *arguments) ([]string, error) {
	id, state := s.existing(args), args.phase("")
	if args.err == nil && state == "" {
		args.err = errors.New("the phase is missing")
	}
	if args.err != nil {
		return nil, args.err
	}
	s.written = s.server.Update(podtest.Namespace, "exec-"+id, phase(state)).ResourceVersion
	return nil, nil
}

func (s *stage) remove(args *arguments) ([]string, error) {
	id := s.existing(args)
	if args.err != nil {
		return nil, args.err
	}
	s.written = s.server.Delete(podtest.Namespace, "exec-"+id).ResourceVersion
	return nil, nil
}

// existing reads the id of a pod that the server has.
func (s *stage) existing(args *arguments) string {
	id := args.word("id")
	if args.err == nil && !s.has(id) {
		args.err = fmt.Errorf("exec-%s does not exist", id)
	}
	return id
}

func (s *stage) has(id string) bool {
	for _, p := range s.server.List(executors) {
		if p.Name == "exec-"+id {
			return true
		}
	}
	return false
}

func (s *stage) compact(*arguments) ([]string, error) {
	s.server.Compact()
	return nil, nil
}

func (s *stage) backUp(*arguments) ([]string, error) {
	s.restore = s.server.Backup()
	return nil, nil
}

func (s *stage) restoreBackup(*arguments) ([]string, error) {
	if s.restore == nil {
		return nil, errors.New(`there is no "backup" before it`)
	}
	s.restore()
	return nil, nil
}

func (s *stage) advance(args *arguments) ([]string, error) {
	versions := args.number("versions")
	if args.err == nil {
		s.server.Advance(versions)
	}
	return nil, args.err
}

// sourceOptions has the options of a source. Each has a duration.
var sourceOptions = map[string]func(time.Duration) watchsource.Option{
	"start-timeout": watchsource.WithStartTimeout,
	"stall-timeout": watchsource.WithStallTimeout,
	"verification":  watchsource.WithVerification,
}

// start makes the source at the first start. Its answer is the error of Start.
func (s *stage) start(args *arguments) ([]string, error) {
	options := []watchsource.Option{watchsource.WithObserver(s.observe), watchsource.WithLogger(s.log.logger(0))}
	for name, option := range sourceOptions {
		if d, ok := args.duration(name); ok {
			options = append(options, option(d))
		}
	}
	if args.err != nil {
		return nil, args.err
	}
	if s.source == nil {
		s.source = s.newSource(s.store, s.server.Client(), options...)
	} else if len(options) > 2 {
		return nil, errors.New("options of a source that exists already")
	}
	if err := s.source.Start(podtest.App); err != nil {
		return []string{err.Error()}, nil
	}
	return []string{"started"}, nil
}

func (s *stage) stop(*arguments) ([]string, error) {
	if s.source == nil {
		return nil, errNotStarted
	}
	s.source.Stop()
	return nil, nil
}

func (s *stage) sleep(args *arguments) ([]string, error) {
	time.Sleep(args.time("duration"))
	return nil, args.err
}

func (s *stage) settle(*arguments) ([]string, error) {
	synctest.Wait()
	return nil, nil
}

// await waits until the store contains the last change of a pod.
func (s *stage) await(*arguments) ([]string, error) {
	_, err := s.store.WaitForResourceVersion(s.t.Context(), s.written)
	return nil, err
}

func (s *stage) mark(*arguments) ([]string, error) {
	synctest.Wait()
	s.marked = len(s.server.Requests())
	s.shownRequests = s.marked
	return nil, nil
}

// observe records what the source reports, except events, which arrive in any number.
func (s *stage) observe(o watchsource.Observation) {
	line := o.Kind.String()
	switch {
	case o.Kind == watchsource.Received:
		return
	case o.Relist:
		line += " again"
	case o.Resumed:
		line += " where the last watch ended"
	}
	if o.Err != nil {
		line += ": " + o.Err.Error()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.observed = append(s.observed, line)
}

var errNotStarted = errors.New(`there is no "start" before it`)

// message finds the message in a line of funcr.
var message = regexp.MustCompile(`"msg"="((?:[^"\\]|\\.)*)"`)

// messageOf returns the message of a line, or the line if it has none.
func messageOf(line string) string {
	if found := message.FindStringSubmatch(line); found != nil {
		return strings.ReplaceAll(found[1], `\"`, `"`)
	}
	return line
}
