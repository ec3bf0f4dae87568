// SPDX-License-Identifier: Apache-2.0

package application

import (
	"cmp"
	"strconv"

	"github.com/executorpods/watchsource"
	"k8s.io/apimachinery/pkg/types"
)

// Key identifies the pod of an executor. A pod that is created again has another UID.
type Key struct {
	Namespace, Name string
	UID             types.UID
}

// KeyOf returns the key of an executor.
func KeyOf(e *watchsource.Executor) Key { return Key{e.Namespace, e.Name, e.UID} }

// Rows are the executors that have not ended.
type Rows = List[Key, *watchsource.Executor]

var executors = kind[Key, *watchsource.Executor]{
	key: KeyOf,
	orders: []order[*watchsource.Executor]{
		{by: ByTrouble, compare: func(a, b *watchsource.Executor) int { return cmp.Compare(rank(a), rank(b)) }},
		{by: ByID, compare: compareExecutorIDs},
		{by: ByAge, compare: func(a, b *watchsource.Executor) int { return b.CreatedAt.Compare(a.CreatedAt) }},
		{by: ByNode, compare: func(a, b *watchsource.Executor) int { return cmp.Compare(a.Node, b.Node) }},
		{by: ByNamespace, compare: func(a, b *watchsource.Executor) int { return cmp.Compare(a.Namespace, b.Namespace) }},
	},
	last: func(a, b *watchsource.Executor) int {
		return cmp.Or(compareExecutorIDs(a, b), cmp.Compare(a.Name, b.Name),
			cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.UID, b.UID))
	},
	texts: func(e *watchsource.Executor) []string {
		return []string{e.ID, State(e), e.Node, e.Namespace, e.Name, Reason(e)}
	},
}

// rank puts those in trouble first, then pending, terminating, running.
func rank(e *watchsource.Executor) int {
	switch {
	case InTrouble(e):
		return 0
	case e.Terminating:
		return 2
	case e.State == watchsource.Pending:
		return 1
	default:
		return 3
	}
}

func compareExecutorIDs(a, b *watchsource.Executor) int { return CompareIDs(a.ID, b.ID) }

// CompareIDs compares decimal ids by value, and puts them before all others.
func CompareIDs(a, b string) int {
	x, errX := strconv.ParseUint(a, 10, 64)
	y, errY := strconv.ParseUint(b, 10, 64)
	switch {
	case errX == nil && errY == nil:
		return cmp.Compare(x, y)
	case errX == nil:
		return -1
	case errY == nil:
		return 1
	default:
		return cmp.Compare(a, b)
	}
}
