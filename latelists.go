// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"context"
	"sync"
	"time"

	"github.com/executorpods/watchsource/internal/listwatch"
	"github.com/executorpods/watchsource/internal/podwire"
	"github.com/executorpods/watchsource/internal/sleep"
)

const (
	// gatherTime is how long the list of a late member waits for others to share it.
	gatherTime = 10 * time.Millisecond
	// maxListedByName bounds the applications in a selector, and so the length of the
	// request's URL. For more of them all pods are listed.
	maxListedByName = 100
	// listRetryDelay is the time between two attempts at the list of a late member, unless
	// the server asks for more.
	listRetryDelay = time.Second
)

// A listFunc lists the pods of some applications, by application.
type listFunc func(ctx context.Context, appIDs []string) (pods map[string][]*podwire.Pod, resourceVersion string, err error)

// lateLists lists the applications of members that have come after the watch has opened.
// Members that come at the same time share a list.
type lateLists struct {
	// Fixed after newLateLists.
	ctx  context.Context
	list listFunc

	working sync.WaitGroup

	mu           sync.Mutex
	awaitingList []*member
	isWorking    bool
}

// newLateLists returns lateLists that work until ctx ends.
func newLateLists(ctx context.Context, list listFunc) *lateLists {
	return &lateLists{ctx: ctx, list: list}
}

// request asks for a list for a member, which receives it or its error.
func (l *lateLists) request(m *member) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.awaitingList = append(l.awaitingList, m)
	if !l.isWorking && l.ctx.Err() == nil {
		l.isWorking = true
		l.working.Go(l.work)
	}
}

// wait returns when nothing is listed any more. The context has ended.
func (l *lateLists) wait() { l.working.Wait() }

// work lists until no member waits. Members that come while a list is on its way share the
// next one.
func (l *lateLists) work() {
	for {
		sleep.For(l.ctx, gatherTime)
		members := l.take()
		if len(members) == 0 {
			return
		}
		pods, resourceVersion, err := l.list(l.ctx, appsOf(members))
		switch {
		case l.ctx.Err() != nil:
		case err != nil:
			for _, m := range members {
				m.listFailed(err)
			}
			sleep.For(l.ctx, max(listRetryDelay, listwatch.ServerDelay(err)))
		default:
			for _, m := range members {
				m.receiveList(pods[m.session.appID], resourceVersion)
			}
		}
	}
}

// take returns the members that wait for a list, none once the context has ended.
func (l *lateLists) take() []*member {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx.Err() != nil {
		l.awaitingList = nil
	}
	members := l.awaitingList
	l.awaitingList, l.isWorking = nil, len(members) > 0
	return members
}

func appsOf(members []*member) []string {
	appIDs := make([]string, len(members))
	for i, m := range members {
		appIDs[i] = m.session.appID
	}
	return appIDs
}
