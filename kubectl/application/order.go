// SPDX-License-Identifier: Apache-2.0

package application

// An Order names what the rows of a list are sorted by. Each kind of list has some of them.
type Order string

// The orders.
const (
	ByTrouble   Order = "trouble" // those in trouble first
	ByID        Order = "id"
	ByName      Order = "name"
	ByNamespace Order = "namespace"
	ByNode      Order = "node"
	ByAge       Order = "age"     // the youngest first
	ByRunning   Order = "running" // the most first
	ByFailed    Order = "failed"  // the most first
	ByTime      Order = "newest"  // the newest end first
	ByCause     Order = "cause"
	ByLife      Order = "life" // the shortest first
)

// A Sorting says how a list is sorted.
type Sorting struct {
	By       Order
	Reversed bool
}

// String returns the words for the sorting.
func (s Sorting) String() string {
	if s.Reversed {
		return string(s.By) + ", reversed"
	}
	return string(s.By)
}
