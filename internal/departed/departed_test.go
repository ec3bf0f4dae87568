// SPDX-License-Identifier: Apache-2.0

package departed_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/executorpods/watchsource/internal/departed"
)

// resultOf returns the result of a call, "nothing" if it still waits.
func resultOf(w *departed.Wait[string]) string {
	select {
	case result := <-w.Result():
		if result.Err != nil {
			return result.Err.Error()
		}
		return result.End
	default:
		return "nothing"
	}
}

func podOf(name, version string) departed.Pod {
	return departed.Pod{Owner: "a", Namespace: "jobs", Name: name, ResourceVersion: version}
}

// A call receives the end of its pod, and of no other.
func TestCallsAreTold(t *testing.T) {
	for _, test := range []struct {
		name, pod, created string
		owner              any
		want               string
	}{
		{name: "by name", pod: "p", owner: "a", want: "first"},
		{name: "by namespace and name", pod: "jobs/p", owner: "a", want: "first"},
		{name: "another namespace", pod: "other/p", owner: "a", want: "nothing"},
		{name: "another name", pod: "q", owner: "a", want: "nothing"},
		{name: "another owner", pod: "p", owner: "b", want: "nothing"},
		{name: "created with this version", pod: "p", created: "5", owner: "a", want: "first"},
		{name: "created later", pod: "p", created: "6", owner: "a", want: "nothing"},
	} {
		for when, tell := range map[string]func(*departed.Pods[string], func()){
			"the pod left before": func(p *departed.Pods[string], add func()) { p.Left(podOf("p", "5"), "first", 0); add() },
			"the pod leaves":      func(p *departed.Pods[string], add func()) { add(); p.Left(podOf("p", "5"), "first", 0) },
			"the pod ends, then leaves": func(p *departed.Pods[string], add func()) {
				add()
				p.Ended(podOf("p", "5"), "first")
				p.Left(podOf("p", "7"), "second", 0)
			},
		} {
			t.Run(test.name+"/"+when, func(t *testing.T) {
				pods, w := &departed.Pods[string]{}, departed.NewWait[string](test.owner, test.pod, test.created)
				tell(pods, func() { pods.Add(w, "") })
				want := test.want
				if test.name == "created later" && when == "the pod ends, then leaves" {
					want = "second"
				}
				if got := resultOf(w); got != want {
					t.Errorf("the result is %q, want %q", got, want)
				}
			})
		}
	}
}

// A call that was removed receives nothing, and the others do.
func TestRemovedCall(t *testing.T) {
	pods := &departed.Pods[string]{}
	removed, kept := departed.NewWait[string](nil, "p", ""), departed.NewWait[string](nil, "p", "")
	pods.Add(removed, "")
	pods.Add(kept, "")
	pods.Remove(removed)
	pods.Fail(errors.New("stopped"))
	if resultOf(removed) != "nothing" || resultOf(kept) != "stopped" {
		t.Error("want the call that was kept to fail only")
	}
	pods.Remove(kept)
	pods.Remove(kept)
}

// Pods are remembered for two minutes, as many as were present at a time, and at least 128.
func TestWhatIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pods := &departed.Pods[string]{}
		remembers := func(i int) bool {
			w := departed.NewWait[string]("a", fmt.Sprint("p", i), "")
			pods.Add(w, "")
			defer pods.Remove(w)
			return resultOf(w) != "nothing"
		}
		leave := func(from, to, present int) {
			for i := from; i < to; i++ {
				pods.Left(podOf(fmt.Sprint("p", i), "1"), "end", present)
			}
		}
		leave(0, 200, 0)
		if remembers(71) || !remembers(72) || !remembers(199) {
			t.Error("want the last 128 of a store that never had more")
		}
		leave(200, 400, 149) // one of 150
		if remembers(249) || !remembers(250) {
			t.Error("want the last 150 of a store that has had 150")
		}
		time.Sleep(2 * time.Minute)
		pods.ForgetOld(time.Now())
		if !remembers(399) {
			t.Error("forgotten after two minutes, want it remembered until then")
		}
		time.Sleep(time.Second)
		pods.ForgetOld(time.Now())
		if remembers(399) {
			t.Error("remembered for more than two minutes")
		}
		leave(400, 401, 0)
		pods.Forget()
		if remembers(400) {
			t.Error("remembered after Forget")
		}
	})
}
