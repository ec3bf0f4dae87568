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

// Confirm counts only if the watch was open all the time, in the same history.
func TestConfirm(t *testing.T) {
	for name, test := range map[string]struct {
		between func(a, b *Watch)
		want    string
	}{
		"nothing between":          {func(_, _ *Watch) {}, "12"},
		"a later version":          {func(_, b *Watch) { b.Reached("20") }, "12"},
		"not open":                 {func(_, b *Watch) { b.SetOpen(false) }, "8"},
		"another opening":          {func(_, b *Watch) { b.SetOpen(false); b.SetOpen(true) }, "8"},
		"another history":          {func(a, _ *Watch) { a.Listed("5", time.Time{}) }, ""},
		"listed in a new history":  {func(a, b *Watch) { relist(a, "5"); relist(b, "6") }, "5"},
		"the other has found more": {func(a, _ *Watch) { a.Reached("30") }, "13"},
	} {
		all := Of([]string{"a", "b"})
		a, b := all[0], all[1]
		for _, w := range all {
			w.Listed("8", time.Time{})
			w.SetOpen(true)
		}
		a.Reached("12")
		from, lags := b.Lags("12")
		if !lags || from.Version != "8" {
			t.Fatalf("%s: b lags: %v at %q, want true at 8", name, lags, from.Version)
		}
		test.between(a, b)
		want(t, name, b.Confirm(from, "13"), test.want)
		if a.history != b.history && b.version != "8" {
			t.Errorf("%s: b is at version %q of the history before, want 8", name, b.version)
		}
	}
}

func relist(w *Watch, version string) {
	w.SetOpen(false)
	w.Listed(version, time.Time{})
	w.SetOpen(true)
}
