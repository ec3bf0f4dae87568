// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/executorpods/watchsource"
)

// Random histories of pods that have few names and move between two owners, with calls of WaitForEnd
// for the first owner that begin at any time. Each call returns as soon as its pod has ended or left
// the owner, and never the end of another pod.
func TestWaitForEndEqualsModel(t *testing.T) {
	r := random(t)
	for range 200 {
		synctest.Test(t, func(t *testing.T) {
			m := &endModel{t: t, store: watchsource.NewStoreBy(byJob), present: map[string]*modelPod{}, latest: map[string]*modelPod{}}
			for range 80 {
				m.step(r)
				m.check()
			}
			m.store.ObserveStop()
		})
	}
}

type endModel struct {
	t       *testing.T
	store   *watchsource.StoreBy[string]
	version int
	present map[string]*modelPod // by name
	latest  map[string]*modelPod // by the name of the pod
	all     []*modelPod
	waits   []*modelWait
}

// A modelPod is a pod with the first outcome that a call for the first owner may return.
type modelPod struct {
	state   *corev1.Pod
	created string
	// outcome is how the pod ended or left the first owner. It is empty while the pod runs there.
	outcome string
	isHere  bool // with the first owner
}

// A modelWait is a call. want is empty while it must wait.
type modelWait struct {
	pod    *modelPod
	want   string
	result chan string
}

func (m *endModel) step(r *rand.Rand) {
	m.version++
	name := fmt.Sprint(r.IntN(3))
	p := m.present[name]
	switch n := r.IntN(12); {
	case n < 4 && len(m.all) > 0:
		m.wait(m.all[r.IntN(len(m.all))])
	case p == nil:
		p = &modelPod{created: fmt.Sprint(m.version), state: pod(name, uid(fmt.Sprint("u", m.version)))}
		m.present[name], m.latest[p.state.Name], m.all = p, p, append(m.all, p)
		m.tell(p, r.IntN(2) == 0, false)
	case n < 6:
		m.tell(p, p.isHere, true)
	case n < 8:
		m.tell(p, !p.isHere, false)
	case n < 10:
		m.remove(p)
		p.state.ResourceVersion = fmt.Sprint(m.version)
		m.store.DeletePod(p.state.DeepCopy())
	case n == 10:
		m.remove(p)
		m.store.ReplaceSnapshot(m.list())
	default:
		m.store.ReplaceSnapshot(m.list())
	}
	m.store.ObserveResourceVersion(fmt.Sprint(m.version))
}

// tell calls UpdatePod with a state of a pod.
func (m *endModel) tell(p *modelPod, isHere, ends bool) {
	next := p.state.DeepCopy()
	next.ResourceVersion = fmt.Sprint(m.version)
	if setOwner(next, "b"); isHere {
		setOwner(next, "a")
	}
	if ends {
		next.Status.Phase = corev1.PodFailed
	}
	if p.isHere && !isHere {
		m.leave(p)
	}
	p.state, p.isHere = next, isHere
	if isHere && modelEnded(next) {
		m.reach(p, "Failed")
	}
	m.store.UpdatePod(next)
}

func (m *endModel) remove(p *modelPod) {
	delete(m.present, p.state.Name[len("exec-"):])
	if p.isHere {
		m.leave(p)
	}
}

func (m *endModel) leave(p *modelPod) {
	m.reach(p, "Deleted")
	p.isHere = false
}

// reach notes an outcome of a pod. The calls that wait return the first.
func (m *endModel) reach(p *modelPod, outcome string) {
	outcome = fmt.Sprint(p.state.UID, " ", outcome)
	if p.outcome == "" {
		p.outcome = outcome
	}
	for _, w := range m.waits {
		if w.pod == p && w.want == "" {
			w.want = outcome
		}
	}
}

// list returns the pods that are present.
func (m *endModel) list() []*corev1.Pod {
	var all []*corev1.Pod
	for _, p := range m.present {
		all = append(all, p.state)
	}
	return all
}

// wait calls WaitForEnd for a pod and the first owner.
func (m *endModel) wait(p *modelPod) {
	w := &modelWait{pod: p, result: make(chan string, 1)}
	switch {
	case p.isHere && modelEnded(p.state):
		w.want = fmt.Sprint(p.state.UID, " Failed")
	case p.isHere: // even after an earlier departure
	case p.outcome != "":
		w.want = p.outcome
	case m.latest[p.state.Name] != p: // a younger pod of the name may be taken for it
		return
	default:
		w.want = "not found"
	}
	m.waits = append(m.waits, w)
	go func() {
		e, err := m.store.WaitForEnd(m.t.Context(), "a", p.state.Name, p.created)
		if apierrors.IsNotFound(err) {
			w.result <- "not found"
			return
		}
		w.result <- fmt.Sprint(e.UID, " ", e.State)
	}()
}

// check compares the calls that have returned with those that must have.
func (m *endModel) check() {
	m.t.Helper()
	synctest.Wait()
	var left []*modelWait
	for _, w := range m.waits {
		select {
		case got := <-w.result:
			if got != w.want {
				m.t.Fatalf("a call for %s, created at %s, returned %s, want %q", w.pod.state.UID, w.pod.created, got, w.want)
			}
		default:
			if w.want != "" {
				m.t.Fatalf("a call for %s, created at %s, still waits, want %q", w.pod.state.UID, w.pod.created, w.want)
			}
			left = append(left, w)
		}
	}
	m.waits = left
}
