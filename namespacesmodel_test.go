// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/watchtest"
)

var namespacesSeed = flag.Uint64("namespaces", 0, "seed of the one random run of TestNamespacesUnderFaults, 0 for twenty runs")

// watchedNamespaces are those that the source of the random runs watches. The server has pods in others too.
var watchedNamespaces = shardNamespaces[:3]

// A podHistory has the versions of the selected pods in the watched namespaces after each change.
type podHistory struct {
	server *watchtest.Server

	mu     sync.Mutex
	states []podState
}

type podState struct {
	version uint64
	pods    map[string]uint64
}

// change makes a change, which no check sees in part.
func (h *podHistory) change(apply func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	apply()
	state := podState{number(h.server.ResourceVersion()), map[string]uint64{}}
	for _, p := range h.server.List(executors) {
		if slices.Contains(watchedNamespaces, p.Namespace) {
			state.pods[p.Name] = number(p.ResourceVersion)
		}
	}
	h.states = append(h.states, state)
}

func number(version string) uint64 {
	n, err := strconv.ParseUint(version, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

// check returns what a view at a version shows that contradicts the history, "" for nothing. Each pod
// is shown in its state at the version, or in a later one.
func (h *podHistory) check(version string, has map[string]uint64) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	at := 0
	for at+1 < len(h.states) && h.states[at+1].version <= number(version) {
		at++
	}
	then, later := h.states[at], h.states[at+1:]
	for name, version := range then.pods {
		if seen, ok := has[name]; !ok || seen < version {
			if ok || !slices.ContainsFunc(later, func(s podState) bool { return s.pods[name] == 0 }) {
				return fmt.Sprintf("it has %s at version %d, want at least %d", name, seen, version)
			}
		}
	}
	for name, seen := range has {
		if then.pods[name] == 0 && !slices.ContainsFunc(later, func(s podState) bool { return s.pods[name] == seen }) {
			return fmt.Sprintf("it has %s at version %d, want it gone", name, seen)
		}
	}
	return ""
}

// A mirror is a store of the user. It checks at each version that it has what the server had.
type mirror struct {
	t       *testing.T
	history *podHistory
	has     map[string]uint64
}

func (m *mirror) UpdatePod(p *corev1.Pod) { m.has[p.Name] = number(p.ResourceVersion) }
func (m *mirror) DeletePod(p *corev1.Pod) { delete(m.has, p.Name) }
func (m *mirror) ReplaceSnapshot(pods []*corev1.Pod) {
	clear(m.has)
	for _, p := range pods {
		m.UpdatePod(p)
	}
}

func (m *mirror) ObserveResourceVersion(version string) {
	if problem := m.history.check(version, m.has); problem != "" {
		m.t.Errorf("the store of the user at version %s: %s", version, problem)
	}
}

// Random changes in several namespaces, while each watch has other faults: each version that a
// store claims holds for every namespace, a reader is led from view to view, and in the end the view
// is the union of the lists.
func TestNamespacesUnderFaults(t *testing.T) {
	first, runs := uint64(1), uint64(20)
	if *namespacesSeed != 0 {
		first, runs = *namespacesSeed, 1
	}
	for seed := first; seed < first+runs; seed++ {
		inBubble(t, fmt.Sprint("seed ", seed), func(t *testing.T) { runNamespaces(t, rand.New(rand.NewPCG(seed, 0))) })
	}
}

func runNamespaces(t *testing.T, random *rand.Rand) {
	env := newNamespacesEnv(t)
	history := &podHistory{server: env.server}
	history.change(func() { churnNamespaces(env.server, random, 30) })
	option := watchsource.WithNamespaces(watchedNamespaces...)
	env.start(option)
	env.startFor(&mirror{t, history, map[string]uint64{}}, option)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go checkBatches(ctx, t, env.store)
	go checkVersions(ctx, t, env.store, history)
	go waitForVersions(ctx, env)
	for range 150 {
		switch random.IntN(10) {
		case 0:
			time.Sleep([]time.Duration{time.Second, 10 * time.Second, 70 * time.Second}[random.IntN(3)])
		case 1, 2:
			env.disturb(random)
		default:
			history.change(func() { churnNamespaces(env.server, random, 1) })
		}
	}
	time.Sleep(15 * time.Minute)
	synctest.Wait()
	has := versionsIn(env.store.Snapshot())
	if problem := history.check(env.server.ResourceVersion(), has); problem != "" {
		t.Errorf("in the end: %s", problem)
	}
	if got, want := env.store.Snapshot().ResourceVersion(), env.server.ResourceVersion(); got != want {
		t.Errorf("the store is at version %s in the end, want %s", got, want)
	}
}

// disturb makes something go wrong in one namespace for a while.
func (e *namespacesEnv) disturb(random *rand.Rand) {
	namespace := watchedNamespaces[random.IntN(len(watchedNamespaces))]
	effects := []watchtest.Effect{
		watchtest.Cut(), watchtest.Reset(), watchtest.Tear(), watchtest.Silence(), watchtest.SendError(apierrors.NewResourceExpired("too old")),
	}
	refusals := []watchtest.Effect{watchtest.Refuse(), watchtest.Hang(), noRole(namespace)}
	if random.IntN(2) == 0 {
		lift := e.inject(namespace, watchtest.Fault{Do: refusals[random.IntN(len(refusals))]})
		time.AfterFunc(time.Duration(random.IntN(90))*time.Second, lift)
	}
	if random.IntN(4) == 0 {
		e.server.Compact()
	}
	e.strike(namespace, effects[random.IntN(len(effects))])
}

func checkBatches(ctx context.Context, t *testing.T, store *watchsource.Store) {
	checker := modeltest.NewBatchChecker(t.Errorf, 0)
	for batch := range store.Batches(ctx, 0) {
		checker.Ending = ctx.Err() != nil
		checker.Check(batch)
	}
}

func checkVersions(ctx context.Context, t *testing.T, store *watchsource.Store, history *podHistory) {
	for {
		snapshot, newer := store.Latest()
		if version := snapshot.ResourceVersion(); version != "" {
			if problem := history.check(version, versionsIn(snapshot)); problem != "" {
				t.Errorf("the snapshot at version %s: %s", version, problem)
			}
		}
		select {
		case <-newer:
		case <-ctx.Done():
			return
		}
	}
}

// waitForVersions waits for one version after the other, so that the source asks the quiet namespaces
// for bookmarks.
func waitForVersions(ctx context.Context, env *namespacesEnv) {
	for ctx.Err() == nil {
		limited, cancel := context.WithTimeout(ctx, 5*time.Second)
		_, _ = env.store.WaitForResourceVersion(limited, env.server.ResourceVersion())
		cancel()
		select {
		case <-time.After(700 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// versionsIn returns the versions of the executors by name.
func versionsIn(s watchsource.Snapshot) map[string]uint64 {
	has := map[string]uint64{}
	for e := range s.All() {
		has[e.Name] = number(e.ResourceVersion)
	}
	return has
}
