// SPDX-License-Identifier: Apache-2.0

package screen

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/executorpods/watchsource/watchtest"
)

// names is a list of rows for the tests of a cursor.
type names []string

func (n names) Len() int             { return len(n) }
func (n names) Index(key string) int { return slices.Index(n, key) }

func (n names) KeyAt(index int) (string, bool) {
	if index < 0 || index >= len(n) {
		return "", false
	}
	return n[index], true
}

// From the first key the cursor keeps its row, also the first one. If the row goes, the cursor keeps its place.
func TestCursorKeepsItsRow(t *testing.T) {
	now := time.Now()
	later := func() time.Time {
		now = now.Add(time.Second)
		return now
	}
	var c cursor[string]
	want := func(what, key string, index int) {
		t.Helper()
		if got, _ := c.tie(names{}, later()); got != key || c.index != index {
			t.Errorf("%s: the cursor is on %q at %d, want %q at %d", what, got, c.index, key, index)
		}
	}
	c.follow(names{"b", "c"}, later())
	c.follow(names{"a", "b", "c"}, later())
	if c.under.key != "a" || c.index != 0 {
		t.Errorf("before the first key: on %q at %d, want the first row", c.under.key, c.index)
	}
	c.move(names{"a", "b", "c"}, -1, later()) // stays at the first row, but is tied to it
	c.follow(names{"0", "a", "b", "c"}, later())
	want("rows come first", "a", 1)
	c.follow(names{"0", "b", "c"}, later())
	want("its row has gone", "b", 1)
	c.follow(names{"0", "1", "b"}, later())
	want("rows change again", "b", 2)
	c.follow(names{"0"}, later())
	want("the last rows have gone", "0", 0)
	c.follow(names{}, later())
	if _, ok := c.tie(names{}, later()); ok || c.index != 0 {
		t.Error("the cursor is on a row of an empty list, want on none")
	}
	c.follow(names{"x", "y"}, later())
	want("rows come into an empty list", "x", 0)
}

// A key means the row that was under the cursor before the person could see another.
func TestCursorMeansTheRowThatWasSeen(t *testing.T) {
	now := time.Now()
	soon, later := now.Add(reactionTime/2), now.Add(2*reactionTime)
	for _, row := range []struct {
		name   string
		list   names
		at     time.Time
		want   string
		landed int // index of the cursor after a move by one
	}{
		{"another row has come above just now", names{"b", "a", "c"}, soon, "a", 2},
		{"another row has come above a while ago", names{"b", "a", "c"}, later, "b", 1},
		{"the row has gone just now", names{"b", "c"}, soon, "a", 1},
		{"the row has gone a while ago", names{"b", "c"}, later, "b", 1},
		{"all rows have gone just now", names{}, soon, "a", 0},
	} {
		var c cursor[string]
		c.follow(names{"a"}, now.Add(-time.Minute))
		c.follow(row.list, now)
		moved := c
		if got, _ := c.tie(row.list, row.at); got != row.want {
			t.Errorf("%s: a key means %q, want %q", row.name, got, row.want)
		}
		moved.move(row.list, 1, row.at)
		if moved.index != row.landed {
			t.Errorf("%s: a key down leads to %d, want %d", row.name, moved.index, row.landed)
		}
	}
	// Several changes within the time: the first row counts.
	var c cursor[string]
	c.follow(names{"a"}, now.Add(-time.Minute))
	c.follow(names{"b", "a"}, now)
	c.follow(names{"c", "b", "a"}, now.Add(reactionTime/4))
	if got, _ := c.tie(names{"c", "b", "a"}, soon); got != "a" {
		t.Errorf("after two changes: a key means %q, want the row that was seen, a", got)
	}
	// Nothing was there before: the new row counts.
	var empty cursor[string]
	empty.follow(names{}, now.Add(-time.Minute))
	empty.follow(names{"a"}, now)
	if got, _ := empty.tie(names{"a"}, soon); got != "a" {
		t.Errorf("in a list that was empty: a key means %q, want the new row, a", got)
	}
}

// In a list that is scrolled the row keeps its line on the screen, whatever comes and goes above it.
func TestCursorKeepsItsLine(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	var list names
	for i := range 200 {
		list = append(list, fmt.Sprintf("%04d", i*10))
	}
	const rows = 20
	var c cursor[string]
	c.scroll(rows, list.Len())
	c.move(list, 100, time.Now())
	c.scroll(rows, list.Len())
	line := c.index - c.offset
	for range 1000 {
		if i := random.IntN(len(list)); list[i] != c.under.key && random.IntN(2) == 0 && len(list) > 150 {
			list = slices.Delete(list, i, i+1)
		} else if name := fmt.Sprintf("%04d", random.IntN(2000)); !slices.Contains(list, name) && len(list) < 250 {
			list = append(list, name)
			slices.Sort(list)
		}
		c.follow(list, time.Now())
		c.scroll(rows, list.Len())
		if list[c.index] != c.under.key || c.index-c.offset != line {
			t.Fatalf("the row %s is on line %d, and the cursor on %s; want line %d", c.under.key, c.index-c.offset, list[c.index], line)
		}
	}
}

// Rows that come first push the cursor down, and stay visible, while the screen shows the beginning.
func TestNewTroubleIsVisible(t *testing.T) {
	inSizes(t, func(t *testing.T, width, height int) {
		server := watchtest.NewServer()
		c := cluster{server, testApp}
		c.create(1, 40)
		c.run(1, 40)
		term := open(t, server, testApp, width, height)
		term.press("g") // on executor 1
		c.wait(20, "ImagePullBackOff", "")
		c.wait(30, "CrashLoopBackOff", "")
		term.settle()
		term.require(" ▸ 1  ")
		term.golden()
		term.press(enter)
		term.require("jobs/spark-3f2a-exec-1\n")
	})
}

// Enter acts on the row that was on the screen, even if a batch arrives between the frame and the key.
func TestEnterAfterABatch(t *testing.T) {
	for name, change := range map[string]func(c cluster){
		"another row comes first": func(c cluster) { c.wait(3, "CrashLoopBackOff", "") },
		"the row goes":            func(c cluster) { c.delete(1) },
		"the row ends":            func(c cluster) { c.end(1, 1, "Error") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := watchtest.NewServer()
				term := open(t, server, testApp, 80, 24)
				c := cluster{server, testApp}
				c.create(1, 3)
				c.run(1, 3)
				term.settle()
				term.require(" ▸ 1     Running")
				change(c)
				synctest.Wait() // the batch has arrived, and no frame has been drawn since
				term.require(" ▸ 1     Running")
				term.press(enter)
				term.require("jobs/spark-3f2a-exec-1\n")
			})
		})
	}
}

// The cursors of the applications and of the ends keep their rows, too.
func TestCursorsOfTheOtherTables(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		term := open(t, server, "", 80, 24)
		b, a := cluster{server, "app-b"}, cluster{server, "app-a"}
		b.create(1, 9)
		b.run(1, 9)
		time.Sleep(time.Minute)
		term.press("g")
		term.require(" ▸ app-b")
		a.create(1, 1)
		term.settle()
		term.require("   app-a", " ▸ app-b")
		term.press(enter)
		b.end(1, 1, "Error")
		term.settle()
		term.press(tab)
		term.require(" ▸ 1     exit 1")
		time.Sleep(time.Minute)
		b.end(2, 2, "Error")
		term.settle()
		term.require("   2     exit 2", " ▸ 1     exit 1")
		term.press(enter)
		term.require("jobs/app-b-exec-1\n")
	})
}
