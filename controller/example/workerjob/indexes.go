// SPDX-License-Identifier: Apache-2.0

package workerjob

import (
	"fmt"
	"strconv"
	"strings"
)

// indexes are a set of the indexes 0 to n-1.
type indexes struct {
	contains []bool
	count    int
}

// parseIndexes reads a text such as "0-799,805".
func parseIndexes(text string, n int32) (*indexes, error) {
	set := &indexes{contains: make([]bool, n)}
	if text == "" {
		return set, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		first, err := strconv.Atoi(from)
		if err != nil {
			return nil, fmt.Errorf("read the indexes %q: %w", text, err)
		}
		last, err := strconv.Atoi(to)
		if err != nil {
			return nil, fmt.Errorf("read the indexes %q: %w", text, err)
		}
		for index := first; index <= last; index++ {
			if !set.add(index) {
				return nil, fmt.Errorf("read the indexes %q: %d is there twice or not below %d", text, index, n)
			}
		}
	}
	return set, nil
}

func (s *indexes) inRange(index int) bool { return index >= 0 && index < len(s.contains) }

func (s *indexes) has(index int) bool { return s.inRange(index) && s.contains[index] }

// add reports whether the index is new and one of 0 to n-1.
func (s *indexes) add(index int) bool {
	if !s.inRange(index) || s.contains[index] {
		return false
	}
	s.contains[index] = true
	s.count++
	return true
}

func (s *indexes) full() bool { return s.count == len(s.contains) }

// String returns the text that parseIndexes reads.
func (s *indexes) String() string {
	var parts []string
	for index := 0; index < len(s.contains); index++ {
		if !s.contains[index] {
			continue
		}
		first := index
		for s.has(index + 1) {
			index++
		}
		if first == index {
			parts = append(parts, strconv.Itoa(first))
		} else {
			parts = append(parts, fmt.Sprintf("%d-%d", first, index))
		}
	}
	return strings.Join(parts, ",")
}
