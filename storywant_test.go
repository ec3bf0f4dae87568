// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"testing/synctest"

	"github.com/executorpods/watchsource/internal/test/podtest"
)

// want fails unless all conditions hold. -rewrite does not change them.
func (s *stage) want(args *arguments) ([]string, error) {
	synctest.Wait()
	conditions := args.all()
	if len(conditions) == 0 {
		return nil, errors.New("a condition is missing")
	}
	for _, condition := range conditions {
		if err := s.wantOne(condition); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// comparison is a condition on a number, as relists<=2.
var comparison = regexp.MustCompile(`^([a-z-]+)(=|<=|>=)(\d+)$`)

func (s *stage) wantOne(condition string) error {
	if condition == "equal-to-list" {
		return s.equalToList()
	}
	if s.source != nil && s.source.Status().Phase.String() == condition {
		return nil
	}
	if phases[condition] {
		return fmt.Errorf("the status is %s", s.statusText())
	}
	parts := comparison.FindStringSubmatch(condition)
	if parts == nil {
		return fmt.Errorf("unknown condition %q", condition)
	}
	got, ok := s.counts()[parts[1]]
	if !ok {
		return fmt.Errorf("unknown number %q", parts[1])
	}
	if bound, err := strconv.Atoi(parts[3]); err != nil || !compare(got, parts[2], bound) {
		return fmt.Errorf("%s=%d; the status is %s", parts[1], got, s.statusText())
	}
	return nil
}

// phases has the names of the phases of a Status.
var phases = map[string]bool{"Stopped": true, "Starting": true, "Watching": true, "Retrying": true}

func compare(got int, operator string, bound int) bool {
	switch operator {
	case "=":
		return got == bound
	case "<=":
		return got <= bound
	default:
		return got >= bound
	}
}

func (s *stage) statusText() string {
	if s.source == nil {
		return "that of no source"
	}
	return fmt.Sprintf("%+v", s.source.Status())
}

// equalToList returns an error unless the store has exactly the pods that the server lists.
func (s *stage) equalToList() error {
	snapshot, want := s.store.Snapshot(), s.server.List(executors)
	if snapshot.Len() != len(want) {
		return fmt.Errorf("%d executors, want %d as in a LIST", snapshot.Len(), len(want))
	}
	for i := range want {
		e, ok := snapshot.Get(want[i].Name)
		if !ok {
			return fmt.Errorf("the snapshot lacks %s, want it as in a LIST", want[i].Name)
		}
		kept, err := e.Pod()
		if err != nil {
			return err
		}
		want[i].ManagedFields = nil
		if !podtest.Equal(kept, &want[i]) {
			return fmt.Errorf("%s at version %s differs from the LIST, want it at version %s", e.Name, e.ResourceVersion, want[i].ResourceVersion)
		}
	}
	return nil
}
