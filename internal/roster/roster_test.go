// SPDX-License-Identifier: Apache-2.0

package roster_test

import (
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/executorpods/watchsource/internal/roster"
)

// sent are the members that an event goes to, as "here" or "here<before".
func sent(here, before []string) string {
	text := strings.Join(here, " ")
	if len(before) > 0 {
		text += "<" + strings.Join(before, " ")
	}
	return text
}

// Each case is a history of one pod, after which application a has members a1 and a2, and b has
// b1. Application c has no member.
var histories = []struct {
	name string
	do   func(*roster.Roster[string]) string
	// want are the members that the last event goes to.
	want string
	// hasPod are the applications that have a pod.
	hasPod string
	// owner are the members that an event of the pod goes to, whatever its label.
	owner string
}{
	{name: "nothing"},
	{name: "listed", do: listed("a"), hasPod: "a", owner: "a1 a2"},
	{name: "shown", do: shown("a"), want: "a1 a2", hasPod: "a", owner: "a1 a2"},
	{name: "shown twice", do: shown("a", "a"), want: "a1 a2", hasPod: "a", owner: "a1 a2"},
	{name: "shown to no member", do: shown("c"), hasPod: "c"},
	{name: "relabelled", do: shown("a", "b"), want: "b1<a1 a2", hasPod: "b", owner: "b1"},
	{name: "relabelled from no member", do: shown("c", "b"), want: "b1", hasPod: "b", owner: "b1"},
	{name: "relabelled to no member", do: shown("b", "c"), want: "<b1", hasPod: "c"},
	{name: "relabelled and back", do: shown("a", "b", "a"), want: "a1 a2<b1", hasPod: "a", owner: "a1 a2"},
	{name: "deleted", do: then(shown("a", "a"), deleted("a")), want: "a1 a2"},
	{name: "deleted and never shown", do: deleted("b"), want: "b1"},
	{name: "deleted with another label", do: then(shown("a"), deleted("b")), want: "b1<a1 a2"},
	{name: "deleted twice", do: then(shown("a"), deleted("a"), deleted("a")), want: "a1 a2"},
	{name: "created again", do: then(shown("a"), deleted("a"), shown("a")), want: "a1 a2", hasPod: "a", owner: "a1 a2"},
	{name: "relisted elsewhere", do: then(shown("a"), listed("b")), hasPod: "b", owner: "b1"},
	{name: "shown after a list", do: then(listed("a"), shown("a"), deleted("a")), want: "a1 a2"},
}

type history = func(*roster.Roster[string]) string

func listed(app string) history {
	return func(r *roster.Roster[string]) string {
		r.Replace(map[types.UID]string{"pod": app})
		return ""
	}
}

func shown(apps ...string) history {
	return func(r *roster.Roster[string]) (last string) {
		for _, app := range apps {
			last = sent(r.Shown("pod", app))
		}
		return last
	}
}

func deleted(app string) history {
	return func(r *roster.Roster[string]) string { return sent(r.Deleted("pod", app)) }
}

func then(steps ...history) history {
	return func(r *roster.Roster[string]) (last string) {
		for _, step := range steps {
			last = step(r)
		}
		return last
	}
}

func TestHistories(t *testing.T) {
	for _, h := range histories {
		t.Run(h.name, func(t *testing.T) {
			r := roster.New[string]()
			for _, m := range []string{"a1", "a2", "b1"} {
				r.Add(m[:1], m)
			}
			if h.do != nil {
				if got := h.do(&r); got != h.want {
					t.Errorf("the last event goes to %q, want %q", got, h.want)
				}
			}
			var hasPod strings.Builder
			for _, app := range []string{"a", "b", "c"} {
				if r.HasPod(app) {
					hasPod.WriteString(app)
				}
			}
			if owner := sent(r.Owners("pod"), nil); hasPod.String() != h.hasPod || owner != h.owner {
				t.Errorf("applications %q have a pod, the pod is that of %q; want %q, %q", hasPod.String(), owner, h.hasPod, h.owner)
			}
			if wants := r.Wants([]byte("pod"), []byte("c")); wants != (h.owner != "") {
				t.Errorf("Wants = %v for the label of no member, want %v", wants, h.owner != "")
			}
			if !r.Wants([]byte("other"), []byte("b")) || r.Wants([]byte("other"), []byte("c")) {
				t.Error("Wants does not tell an application with a member from one without")
			}
		})
	}
}

// An application has a pod until the last of its pods is deleted.
func TestCountsOfSeveralPods(t *testing.T) {
	r := roster.New[string]()
	r.Replace(map[types.UID]string{"1": "a", "2": "a"})
	r.Shown("3", "a")
	for i, uid := range []types.UID{"1", "2", "3"} {
		if !r.HasPod("a") {
			t.Errorf("no pod of a after %d of 3 deletions", i)
		}
		r.Deleted(uid, "a")
	}
	if r.HasPod("a") {
		t.Error("a has a pod after 3 of 3 deletions")
	}
}

// Remove reports the last member of all applications, and a slice that was returned before stays
// as it was, because the caller has released its lock.
func TestMembersComeAndLeave(t *testing.T) {
	r := roster.New[string]()
	r.Add("a", "a1")
	r.Add("a", "a2")
	r.Add("b", "b1")
	r.Add("a", "a3")
	here, _ := r.Shown("pod", "a")
	if r.Remove("a", "a1") || r.Remove("a", "a2") || r.Remove("a", "a3") {
		t.Error("Remove reports the last member, but b has one")
	}
	if got := sent(here, nil); got != "a1 a2 a3" {
		t.Errorf("the members that were returned before are now %q, want a1 a2 a3", got)
	}
	if got := r.All(); !slices.Equal(got, []string{"b1"}) || len(r.Owners("pod")) > 0 || r.Wants([]byte("pod"), []byte("a")) {
		t.Errorf("All = %q, Owners %q after all members of a have left; want b1, none", got, r.Owners("pod"))
	}
	if r.Remove("a", "a1") || !r.Remove("b", "b1") {
		t.Error("Remove does not report that the last member has left")
	}
}
