// SPDX-License-Identifier: Apache-2.0

package application

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/executorpods/watchsource"
)

// A card is a row of a list in tests.
type card struct {
	number int
	colour string
}

var cards = kind[int, *card]{
	key: func(c *card) int { return c.number },
	orders: []order[*card]{
		{by: ByID, compare: func(a, b *card) int { return cmp.Compare(a.number, b.number) }},
		{by: ByName, compare: func(a, b *card) int { return cmp.Compare(a.colour, b.colour) }, unknown: func(c *card) bool { return c.colour == "" }},
	},
	last:  func(a, b *card) int { return cmp.Compare(a.number, b.number) },
	texts: func(c *card) []string { return []string{c.colour, fmt.Sprint(c.number)} },
}

// A list shows what a new sort of its rows gives, however many changes come between two reads, with few and
// with many rows.
func TestListAgainstASort(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, size := range []int{3, 40, 2000} {
		list, present := newList(&cards), map[int]*card{}
		for round := range 1500 {
			for range 1 + random.IntN(max(size/100, 6)) {
				number := random.IntN(size)
				old := present[number]
				switch random.IntN(6) {
				case 0:
					list.remove(number)
					delete(present, number)
				case 1: // the same row again
					if old != nil {
						list.put(old)
					}
				default:
					present[number] = &card{number, []string{"", "red", "green", "Blue"}[random.IntN(4)]}
					list.put(present[number])
				}
			}
			switch random.IntN(30) {
			case 0:
				list.Sort(Sorting{list.Orders()[random.IntN(2)], random.IntN(2) == 0})
			case 1:
				list.Filter([]string{"", "E", "blue", "re 1", "nothing"}[random.IntN(5)])
			}
			if random.IntN(3) > 0 {
				continue // the next changes come before the list is read
			}
			if checkList(t, &list, present); t.Failed() {
				t.Fatalf("in round %d with up to %d rows", round, size)
			}
		}
	}
}

func checkList(t *testing.T, list *List[int, *card], present map[int]*card) {
	t.Helper()
	var want []*card
	for _, c := range present {
		if list.passes(c) {
			want = append(want, c)
		}
	}
	slices.SortFunc(want, list.compare)
	if got := list.Page(0, len(present)+1); !slices.Equal(got, want) || list.Len() != len(want) || list.Total() != len(present) {
		t.Errorf("got %d rows of %d in another order or other ones, want the %d of %d that a sort gives",
			list.Len(), list.Total(), len(want), len(present))
	}
	for i, c := range want {
		if key, ok := list.KeyAt(i); list.Index(c.number) != i || key != c.number || !ok {
			t.Errorf("row %d has the index %d, and there is row %d; want index %d", c.number, list.Index(c.number), key, i)
		}
	}
}

// A list that is changed and not read does not grow.
func TestListIsBounded(t *testing.T) {
	for _, remove := range []bool{false, true} {
		list := newList(&cards)
		list.Sort(Sorting{By: ByName})
		for i := range 10_000 {
			list.put(&card{i % 10, []string{"red", "green"}[i/10%2]})
			if remove {
				list.remove((i + 5) % 10)
			}
		}
		if waiting := len(list.added) + len(list.left); waiting > 3*fewChanges {
			t.Errorf("removed %v: %d changes wait in a list of %d rows, want at most %d", remove, waiting, list.Total(), 3*fewChanges)
		}
	}
}

// Rows without a value come last, even if the order is reversed.
func TestUnknownComesLast(t *testing.T) {
	list := newList(&cards)
	for i, colour := range []string{"", "red", "green", ""} {
		list.put(&card{i, colour})
	}
	for reversed, want := range map[bool]string{false: "2 1 0 3", true: "1 2 0 3"} {
		list.Sort(Sorting{ByName, reversed})
		if got := order4(&list); got != want {
			t.Errorf("reversed %v: got %s, want %s", reversed, got, want)
		}
	}
	list.Sort(Sorting{By: ByNode}) // cards have no node
	if got := list.Sorting().String(); got != "name, reversed" && got != "name" {
		t.Errorf("sorted by %s after an order that the list does not have, want no change", got)
	}
}

func order4(list *List[int, *card]) string {
	var numbers []string
	for _, c := range list.Page(0, 4) {
		numbers = append(numbers, fmt.Sprint(c.number))
	}
	return strings.Join(numbers, " ")
}

// endedApp returns an application with ends of several causes, times, nodes and lives.
func endedApp() *Application {
	app := New(Named("app"))
	for _, row := range []struct {
		id            int
		reason, node  string
		start, finish float64
	}{
		{10, "OOMKilled", "b", 1, 9},
		{9, "Evicted", "a", 0, 0},
		{2, "OOMKilled", "c", 4, 8},
	} {
		e := run(watchsource.Failed, row.start, row.finish)
		e.ID, e.Name, e.Reason, e.Node = fmt.Sprint(row.id), fmt.Sprint("exec-", row.id), row.reason, row.node
		e.Message = "The node was low on resource: " + row.reason
		app.Apply([]watchsource.Change{{After: e, Ended: true}}, Moment{At: at(10), Late: true})
	}
	return app
}

func idsOf(app *Application) string {
	var ids []string
	for _, end := range app.Ends.Page(0, 10) {
		ids = append(ids, end.Executor.ID)
	}
	return strings.Join(ids, " ")
}

func TestOrdersOfEnds(t *testing.T) {
	app := endedApp()
	for _, row := range []struct {
		sorting Sorting
		want    string
	}{
		{Sorting{ByTime, false}, "9 10 2"},
		{Sorting{ByTime, true}, "2 10 9"},
		{Sorting{ByCause, false}, "9 10 2"},
		{Sorting{ByCause, true}, "10 2 9"},
		{Sorting{ByID, false}, "2 9 10"},
		{Sorting{ByNode, false}, "9 10 2"},
		{Sorting{ByLife, false}, "2 10 9"}, // the life of 9 is unknown
		{Sorting{ByLife, true}, "10 2 9"},
	} {
		app.Ends.Sort(row.sorting)
		if got := idsOf(app); got != row.want {
			t.Errorf("by %s: got %s, want %s", row.sorting, got, row.want)
		}
	}
}

// The filter looks in each text of an end for each word.
func TestFilterOfEnds(t *testing.T) {
	app := endedApp()
	for filter, want := range map[string]string{
		"":              "9 10 2",
		"oomkilled":     "10 2",
		"EXEC-1":        "10",
		"oom exec-2":    "2",
		"exec-2 oom":    "2",
		"low resource:": "9 10 2",
		"jobs evicted":  "9",
		"oom evicted":   "",
		" \t ":          "9 10 2",
	} {
		app.Ends.Filter(filter)
		if got := idsOf(app); got != want {
			t.Errorf("filter %q: got %q, want %q", filter, got, want)
		}
	}
	if app.Ends.Total() != 3 || app.Ends.Causes() != "OOMKilled 2  Evicted 1" {
		t.Errorf("got %d ends, %s; want those of all, whatever the filter", app.Ends.Total(), app.Ends.Causes())
	}
}

func TestSet(t *testing.T) {
	set := NewSet()
	add := func(namespace, name string, id int, minute float64, state watchsource.State, reason string) {
		e := executor(id, state)
		e.CreatedAt, e.Reason, e.Namespace = at(minute), reason, namespace
		set.Apply(ID{namespace, name}, []watchsource.Change{{After: e, Ended: state.Ended()}}, Moment{At: at(10)})
	}
	add("jobs", "b", 1, 1, watchsource.Running, "")
	add("jobs", "b", 2, 1, watchsource.Running, "")
	add("jobs", "a", 1, 2, watchsource.Failed, "OOMKilled")
	add("jobs", "a", 2, 2, watchsource.Running, "")
	add("test", "a", 1, 3, watchsource.Pending, "ImagePullBackOff")
	set.Application(ID{"jobs", "c"})
	check := func(what, want string) {
		t.Helper()
		var names []string
		for _, app := range set.Page(0, 10) {
			names = append(names, app.ID.Namespace+"/"+app.ID.Name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s: got %s, want %s", what, got, want)
		}
	}
	for by, want := range map[Order]string{
		ByTrouble:   "test/a jobs/a jobs/b jobs/c",
		ByName:      "jobs/a test/a jobs/b jobs/c",
		ByNamespace: "jobs/a jobs/b jobs/c test/a",
		ByAge:       "test/a jobs/a jobs/b jobs/c", // c has no age
		ByRunning:   "jobs/b jobs/a test/a jobs/c",
		ByFailed:    "jobs/a test/a jobs/b jobs/c",
	} {
		set.Sort(Sorting{By: by})
		check("by "+string(by), want)
	}
	set.Sort(Sorting{By: ByTrouble})
	set.Filter("oom jobs")
	check("filtered", "jobs/a")
	add("jobs", "c", 1, 4, watchsource.Failed, "OOMKilled") // what a filter finds changes
	check("filtered, after a change", "jobs/a jobs/c")
	set.Filter("deleted")
	check("filtered by another cause", "")
	waiting := executor(3, watchsource.Pending)
	waiting.CreatedAt = at(5)
	gone := *waiting
	gone.State = watchsource.Deleted
	set.Apply(ID{"jobs", "b"}, []watchsource.Change{{After: waiting}, {Before: waiting, After: &gone, Gone: watchsource.Seen}}, Moment{At: at(10)})
	check("filtered, after a change of the causes only", "jobs/b")
	if got, want := set.Counts(), (Counts{Running: 3, Pending: 1, Failed: 2}); got != want {
		t.Errorf("got %+v, want %+v of all", got, want)
	}
}

// BenchmarkSet measures a frame of 10,000 applications of which some have changed: the changes, and the
// page on the screen.
func BenchmarkSet(b *testing.B) {
	const apps = 10_000
	for _, changed := range []int{1, 100, apps} {
		b.Run(fmt.Sprint(changed, " changed"), func(b *testing.B) {
			set := NewSet()
			for i := range apps {
				set.Application(ID{"jobs", fmt.Sprint("app-", i)})
			}
			set.Page(0, 40) // the first read sorts all
			now, n := time.Now(), 0
			for b.Loop() {
				for range changed {
					id := ID{"jobs", fmt.Sprint("app-", n*7919%apps)}
					e := executor(n/apps%5, watchsource.Running)
					if n%3 == 0 {
						e.Reason = "CrashLoopBackOff"
					}
					n++
					set.Apply(id, []watchsource.Change{{Before: set.Application(id).Rows.Get(KeyOf(e)), After: e}}, Moment{At: now})
				}
				set.Page(0, 40)
			}
		})
	}
}
