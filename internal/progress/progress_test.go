// SPDX-License-Identifier: Apache-2.0

package progress

import (
	"testing"
	"time"
)

func want(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: version %q, want %q", what, got, want)
	}
}

// The oldest version counts, as a number, and none before each watch has one.
func TestOldest(t *testing.T) {
	w := Of([]string{"a", "b", "c"})
	want(t, "no list", w[0].Oldest(), "")
	w[0].Listed("20", time.Now())
	w[1].Listed("9", time.Now())
	want(t, "two of three lists", w[0].Oldest(), "")
	w[2].Listed("100", time.Now())
	want(t, "three lists", w[0].Oldest(), "9")
	want(t, "the oldest moves", w[1].Reached("30"), "20")
	want(t, "another moves", w[2].Reached("101"), "20")
	want(t, "an older one", w[0].Reached("19"), "20")
	want(t, "no version", w[0].Reached(""), "20")
	w[0].Listed("40", time.Now())
	want(t, "a list", w[0].Oldest(), "30")
}

// After a new history the version is unknown until each watch has listed in it.
func TestNewHistory(t *testing.T) {
	w := Of([]string{"a", "b", "c"})
	for _, watch := range w {
		watch.Listed("100", time.Now())
	}
	w[0].Listed("50", time.Now())
	want(t, "one has found the new history", w[0].Reached("60"), "")
	for i, outdated := range []bool{false, true, true} {
		if w[i].Outdated() != outdated {
			t.Errorf("watch %d outdated %v, want %v", i, !outdated, outdated)
		}
	}
	w[1].Listed("70", time.Now())
	want(t, "two have", w[2].Reached("101"), "")
	w[2].Listed("200", time.Now()) // the new history has gone beyond the version held
	want(t, "all have", w[0].Oldest(), "60")
	if w[0].Outdated() || w[1].Outdated() || w[2].Outdated() {
		t.Error("a watch is outdated after all have listed, want none")
	}
	w[1].Listed("10", time.Now())
	if !w[0].Outdated() || w[1].Outdated() || !w[2].Outdated() {
		t.Error("a second new history is not noticed, want the watches 0 and 2 outdated")
	}
}

// The oldest list counts.
func TestListedAt(t *testing.T) {
	w, now := Of([]string{"a", "b"}), time.Now()
	w[0].Listed("1", now)
	if got := w[1].Listed("1", now.Add(time.Second)); !got.Equal(now) {
		t.Errorf("synced at %v, want %v", got, now)
	}
	if got := w[0].Listed("2", now.Add(time.Minute)); !got.Equal(now.Add(time.Second)) {
		t.Errorf("synced at %v, want %v", got, now.Add(time.Second))
	}
}

// A nil Watch is alone.
func TestAlone(t *testing.T) {
	var w *Watch
	want(t, "alone", w.Reached("7"), "7")
	now := time.Now()
	if !w.Listed("7", now).Equal(now) || w.Outdated() {
		t.Error("a nil Watch depends on another, want it alone")
	}
}
