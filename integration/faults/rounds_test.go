// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"cmp"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/executorpods/watchsource"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const (
	// limit is how long it may take until a watcher is up to date again, and
	// anything else.
	limit = 30 * time.Second
	// silentPatience is that after a fault of which only the stall timer tells.
	silentPatience = 15 * time.Second
	// tokenPatience is that after a new token was written, which client-go reads
	// when it has forgotten the old one; by then the pauses between attempts have
	// become long.
	tokenPatience = 2 * time.Minute
	// stallTimeout is the stall timeout in the rounds behind a proxy, because the
	// default would take minutes.
	stallTimeout = 5 * time.Second
)

// A round is where the faults strike.
type round struct {
	rng         *rand.Rand
	namespace   string
	link        *link
	tlsProxy    *tlsProxy
	identity    *identity
	application *application
}

func newScene(t *testing.T) *round {
	t.Helper()
	client, _ := newClient(t, server.Config())
	host, err := url.Parse(server.Config().Host)
	if err != nil {
		t.Fatal(err)
	}
	namespace := newNamespace(t, client)
	s := &round{
		rng:         rand.New(rand.NewPCG(uint64(*seed), 2)),
		namespace:   namespace,
		link:        newLink(t, host.Host),
		tlsProxy:    newTLSProxy(t, server.Config()),
		identity:    newIdentity(t, client, namespace),
		application: newApplication(t, client, namespace),
	}
	var living sync.WaitGroup
	living.Go(func() { s.application.live(t.Context()) }) // which ends before the cleanups
	t.Cleanup(living.Wait)
	return s
}

func newNamespace(t *testing.T, client kubernetes.Interface) string {
	t.Helper()
	namespace, err := client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "faults-"},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return namespace.Name
}

// between draws a duration.
func (s *round) between(from, to time.Duration) time.Duration {
	return from + time.Duration(s.rng.Int64N(int64(to-from)))
}

// lasts lets a fault last for a time that is drawn.
func (s *round) lasts(t *testing.T, from, to time.Duration) {
	t.Helper()
	select {
	case <-time.After(s.between(from, to)):
	case <-t.Context().Done():
	}
}

// variants are the media types in which pods reach a store.
var variants = []string{runtime.ContentTypeJSON, runtime.ContentTypeProtobuf}

// Guarantees 1, 2, 3, 5 and 6, whatever happens, of both kinds of source. The sources live
// on from round to round, until all faults have struck once; then sources of another
// variant take their places. The informer is new in each round: the pause it makes
// after an error grows from error to error and is forgotten after two quiet
// minutes, so it would pay for the rounds before.
func TestRounds(t *testing.T) {
	t.Logf("-seed=%d -rounds=%d", *seed, *rounds)
	// Otherwise a connection that has died is noticed after 45 seconds, by
	// whichever client.
	t.Setenv("HTTP2_READ_IDLE_TIMEOUT_SECONDS", "2")
	t.Setenv("HTTP2_PING_TIMEOUT_SECONDS", "1")
	s := newScene(t)
	var results table
	chosen := slices.DeleteFunc(slices.Clone(faults), func(f fault) bool { return !strings.Contains(f.name, *only) })
	if len(chosen) == 0 {
		t.Fatalf("no fault has %q in its name", *only)
	}
	first := s.rng.IntN(len(variants))
	for cycle, left := first, *rounds; left > 0; cycle++ {
		variant := variants[cycle%len(variants)]
		config := speaking(s.identity.config("https://"+s.link.address), variant)
		ours := newSources(t, config, s.namespace)
		t.Log(variant)
		s.rng.Shuffle(len(chosen), func(i, j int) { chosen[i], chosen[j] = chosen[j], chosen[i] })
		// A restore is last, because the sources that live on would need minutes.
		slices.SortStableFunc(chosen, func(a, b fault) int { return cmp.Compare(order(a), order(b)) })
		for _, f := range chosen[:min(len(chosen), left)] {
			if f.restores {
				ours.stop()
			}
			results.add(f, s.round(t, f, ours, config))
		}
		ours.stop()
		left -= len(chosen)
	}
	t.Logf("%d changes of executors\n%s", s.application.confirmed(), &results)
}

func order(f fault) int {
	if f.restores {
		return 1
	}
	return 0
}

func speaking(config *rest.Config, mediaType string) *rest.Config {
	config = rest.CopyConfig(config)
	config.AcceptContentTypes, config.ContentType = mediaType, mediaType
	return config
}

// sources are the sources of both constructors under the same faults.
type sources []*source

func newSources(t *testing.T, config *rest.Config, namespace string, options ...watchsource.Option) sources {
	t.Helper()
	return sources{
		newSource(t, config, namespace, options...),
		newSharedSource(t, config, namespace, options...),
	}
}

func (s sources) stop() {
	for _, source := range s {
		source.stop()
	}
}

// round lets one fault strike ours and a new informer, and returns the outcomes in this
// order.
func (s *round) round(t *testing.T, f fault, ours sources, config *rest.Config) []outcome {
	t.Helper()
	begin := time.Now()
	var options []watchsource.Option
	switch {
	case f.proxied:
		config = s.tlsProxy.through(config)
		options = append(options, watchsource.WithStallTimeout(stallTimeout))
	case f.cuts:
		config = s.tlsProxy.through(config)
		s.tlsProxy.idle.Store(int64(s.between(time.Second, 3*time.Second)))
	case f.restores:
		options = append(options, watchsource.WithStallTimeout(stallTimeout))
	}
	if f.proxied || f.cuts || f.restores || f.fresh {
		ours = newSources(t, config, s.namespace, options...)
		defer ours.stop()
	}
	theirs := newInformer(t, config, s.namespace)
	defer theirs.stop()

	var watchers []watcher
	var before []watchsource.Status
	for _, source := range ours {
		source.ledger.historyChanges.Store(f.restores)
		source.journal.page()
		before = append(before, source.Status())
		watchers = append(watchers, source)
	}
	watchers = append(watchers, theirs)
	var spent []count
	var holders []holder
	for _, w := range watchers {
		spent = append(spent, w.count())
		holders = append(holders, w)
	}
	for _, source := range ours {
		holders = append(holders, source.ledger)
	}

	f.strike(s, t)
	outcomes := s.application.converge(t, cmp.Or(f.patience, limit), readers(watchers)...)
	for _, source := range ours {
		s.application.mustEqualList(t, source)
	}
	agreeing := s.application.agree(t, holders...)
	for i, w := range watchers {
		outcomes[i].converged = outcomes[i].converged && agreeing[i]
		outcomes[i].count = w.count().since(spent[i])
		outcomes[i].last = w.lastError()
	}
	t.Logf("%s, over after %s:\nSharedInformer %s", f.name, seconds(time.Since(begin)), outcomes[len(ours)])
	for i, source := range ours {
		f.judge(t, source.name, outcomes[i], before[i], source.Status())
		if !agreeing[len(watchers)+i] {
			t.Errorf("%s: a reader of the Batches of %s does not have what the server has", f.name, source.name)
		}
		for _, mistake := range source.ledger.audit() {
			t.Errorf("%s: %s: %s", f.name, source.name, mistake)
		}
		t.Logf("%s: %s\n%s", source.name, outcomes[i], source.journal.page())
	}
	return outcomes
}

// converge measures from now on until the watchers see what happens now.
func (a *application) converge(t *testing.T, patience time.Duration, watchers ...reader) []outcome {
	t.Helper()
	begin := time.Now()
	marked := a.mark(t)
	outcomes := make([]outcome, len(watchers))
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for missing := len(watchers); missing > 0 && time.Since(begin) < patience; <-tick.C {
		for i, w := range watchers {
			if !outcomes[i].converged && w.sees() == marked {
				outcomes[i] = outcome{converged: true, took: time.Since(begin)}
				missing--
			}
		}
	}
	return outcomes
}

// judge compares the result of a round with watchsource's guarantees.
func (f fault) judge(t *testing.T, name string, us outcome, before, after watchsource.Status) {
	t.Helper()
	relists, resumes := after.Relists-before.Relists, after.Resumes-before.Resumes
	if !us.converged {
		t.Errorf("%s: %s: the store is not up to date; status %+v", f.name, name, after)
	}
	switch {
	case (f.certain || f.restores) && relists != 1:
		t.Errorf("%s: %s: %d relists, want 1; status %+v", f.name, name, relists, after)
	case f.restores:
	case relists > us.gone, !f.forgets && relists > 0:
		t.Errorf("%s: %s: %d relists although the server said %d times that a version was gone; status %+v", f.name, name, relists, us.gone, after)
	}
	if f.breaks && relists+resumes == 0 {
		t.Errorf("%s: %s: it was not felt; status %+v", f.name, name, after)
	}
	if f.proxied && after.Stalls == before.Stalls {
		t.Errorf("%s: %s: the silence was not noticed; status %+v", f.name, name, after)
	}
	if after.Phase != watchsource.Watching {
		t.Errorf("%s: %s: the phase is %v; status %+v", f.name, name, after.Phase, after)
	}
}
