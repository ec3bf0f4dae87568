// SPDX-License-Identifier: Apache-2.0

// Package latelist lists the applications of sources that start on a watch that is open.
package latelist

import (
	"context"
	"sync"
	"time"

	"github.com/executorpods/watchsource/internal/failure"
	"github.com/executorpods/watchsource/internal/podwire"
	"github.com/executorpods/watchsource/internal/sleep"
)

const (
	// gatherTime is how long the list of a member waits for others to share it.
	gatherTime = 10 * time.Millisecond
	// retryDelay is the time between two attempts at a list, unless the server asks for more.
	retryDelay = time.Second
)

// A Member waits for a list of its application.
type Member interface {
	AppID() string
	ReceiveList(pods []*podwire.Pod, resourceVersion string)
	ListFailed(err error)
}

// A ListFunc lists the pods of some applications, by application.
type ListFunc func(ctx context.Context, appIDs []string) (pods map[string][]*podwire.Pod, resourceVersion string, err error)

// Lists lists the applications of members that have come after the watch has opened. Members that
// come at the same time share a list.
type Lists struct {
	// Fixed after New.
	ctx  context.Context
	list ListFunc

	working sync.WaitGroup

	mu           sync.Mutex
	awaitingList []Member
	isWorking    bool
}

// New returns Lists that work until ctx ends.
func New(ctx context.Context, list ListFunc) *Lists {
	return &Lists{ctx: ctx, list: list}
}

// Request asks for a list for a member, which receives it or its error.
func (l *Lists) Request(m Member) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.awaitingList = append(l.awaitingList, m)
	if !l.isWorking && l.ctx.Err() == nil {
		l.isWorking = true
		l.working.Go(l.work)
	}
}

// Wait returns when nothing is listed any more. The context has ended.
func (l *Lists) Wait() { l.working.Wait() }

// work lists until no member waits. Members that come while a list is on its way share the
// next one.
func (l *Lists) work() {
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
				m.ListFailed(err)
			}
			sleep.For(l.ctx, max(retryDelay, failure.ServerDelay(err)))
		default:
			for _, m := range members {
				m.ReceiveList(pods[m.AppID()], resourceVersion)
			}
		}
	}
}

// take returns the members that wait for a list, none once the context has ended.
func (l *Lists) take() []Member {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx.Err() != nil {
		l.awaitingList = nil
	}
	members := l.awaitingList
	l.awaitingList, l.isWorking = nil, len(members) > 0
	return members
}

func appsOf(members []Member) []string {
	appIDs := make([]string, len(members))
	for i, m := range members {
		appIDs[i] = m.AppID()
	}
	return appIDs
}
