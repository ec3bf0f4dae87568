// SPDX-License-Identifier: Apache-2.0

package podclient

import (
	"testing"

	"github.com/executorpods/watchsource/internal/podwire"
	"github.com/executorpods/watchsource/internal/shard"
)

// The filter of a decoder has the shard besides what the configuration asks for.
func TestPodFilter(t *testing.T) {
	wants := &podwire.Filter{Label: "app", Wants: func(_, _ []byte) bool { return true }}
	r := shard.Of(0, 2)
	for _, test := range []struct {
		config      Config
		shard, want bool
	}{
		{Config{}, false, false},
		{Config{Filter: wants}, false, true},
		{Config{Shard: r}, true, false},
		{Config{Shard: r, Filter: wants}, true, true},
	} {
		got := test.config.podFilter()
		if got == nil {
			got = new(podwire.Filter)
		}
		if (got.Shard == r) != test.shard || (got.Wants != nil) != test.want || (got.Label == "app") != test.want {
			t.Errorf("the filter has the shard: %v, the label: %v; want %v and %v", got.Shard == r, got.Wants != nil, test.shard, test.want)
		}
	}
	if wants.Shard != nil {
		t.Error("the filter of the configuration has changed, want a copy")
	}
}
