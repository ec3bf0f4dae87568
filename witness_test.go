// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/executorpods/watchsource"
)

// The checkers of the model test: the witness stands between the source and the store,
// listeners read the store, and the wire reads the answers of the server.

// witness is a SnapshotsStore that compares its calls with the history of the server. It
// must receive each event once and in order, except those that a full list includes. Each
// full list must equal the server's state at its version.
type witness struct {
	inner   *watchsource.Store
	fail    func(format string, args ...any)
	history *history
	trimmed bool

	mu       sync.Mutex
	sealed   bool // after Stop
	count    int  // of calls
	next     int  // number of the event that is due
	observed uint64
	listed   bool // a full list has come, of a version that is not known yet
	known    map[types.NamespacedName]*corev1.Pod
	owed     []milestone
	newest   watchsource.Snapshot
}

// milestone is what every reader must be shown: the end of an executor, or that
// it is gone.
type milestone struct {
	uid  types.UID
	what string
}

const gone = "gone"

func newWitness(fail func(string, ...any), h *history, trimmed bool) *witness {
	return &witness{
		inner: watchsource.NewStore(), fail: fail, history: h, trimmed: trimmed,
		known: map[types.NamespacedName]*corev1.Pod{},
	}
}

// enter begins a call of the store. Only the version may follow a full list.
func (w *witness) enter(call string, args ...any) {
	w.mu.Lock()
	w.count++
	w.history.trace.add("  told: "+call, args...)
	switch {
	case w.sealed:
		w.fail("the store was called after Stop")
	case w.listed && !strings.HasPrefix(call, "version"):
		w.fail("the store was told something before the version of a full list")
	case w.observed == 0 && !w.listed && !strings.HasPrefix(call, "list"):
		w.fail("the store was told something before the first full list")
	}
}

// leave ends the call and checks the store.
func (w *witness) leave() {
	snapshot := w.inner.Snapshot()
	if problem := contradiction(snapshot); problem != "" {
		w.fail("a snapshot contradicts itself: %s", problem)
	}
	if problem := wentBack(w.newest, snapshot); problem != "" {
		w.fail("the store went back: %s", problem)
	}
	w.newest = snapshot
	w.mu.Unlock()
}

func (w *witness) UpdatePod(p *corev1.Pod) {
	w.enter("update %s at %s: %s", p.Name, p.ResourceVersion, stateOf(p))
	defer w.leave()
	w.expect(p, watch.Added, watch.Modified)
	w.arrived(p)
	w.inner.UpdatePod(p)
}

func (w *witness) DeletePod(p *corev1.Pod) {
	w.enter("delete %s at %s", p.Name, p.ResourceVersion)
	defer w.leave()
	w.expect(p, watch.Deleted)
	w.arrived(p)
	w.left(p)
	w.inner.DeletePod(p)
}

func (w *witness) ReplaceSnapshot(pods []*corev1.Pod) {
	w.enter("list of %d", len(pods))
	defer w.leave()
	w.listed = true
	present := map[types.NamespacedName]*corev1.Pod{}
	for _, p := range pods {
		present[keyOf(p)] = p
	}
	for at, p := range w.known {
		if now := present[at]; now == nil || now.UID != p.UID {
			w.left(p)
		}
	}
	for _, p := range pods {
		w.arrived(p)
	}
	w.inner.ReplaceSnapshot(pods)
}

func (w *witness) ObserveResourceVersion(version string) {
	w.enter("version %s", version)
	defer w.leave()
	now := number(version)
	if now < w.observed && !(w.listed && w.observed-now > historyGap) {
		w.fail("version %d was told after version %d", now, w.observed)
		return
	}
	w.observed = now
	if w.listed {
		w.listed = false
		var want map[types.NamespacedName]*corev1.Pod
		want, w.next = w.history.at(now)
		w.compare(want)
	} else if event, p, ok := w.history.event(w.next, now); ok && versionOf(p) <= now {
		w.fail("version %d was told without %s %s at %d", now, event.Type, p.Name, versionOf(p))
	}
	w.inner.ObserveResourceVersion(version)
}

// expect compares a received pod with the next event of the history.
func (w *witness) expect(p *corev1.Pod, kinds ...watch.EventType) {
	event, due, ok := w.history.event(w.next, versionOf(p))
	w.next++
	switch {
	case !ok:
		w.fail("%s at %s was told, but no event is due", p.Name, p.ResourceVersion)
	case due.ResourceVersion != p.ResourceVersion || !slices.Contains(kinds, event.Type):
		w.fail("%s at %s was told as %v, but %s %s at %s is due", p.Name, p.ResourceVersion, kinds, event.Type, due.Name, due.ResourceVersion)
	case !equalPods(p, w.expected(due)):
		w.fail("%s at %s was told as it never was: %v", p.Name, p.ResourceVersion, p)
	}
}

// compare compares the pods of a full list with the history.
func (w *witness) compare(want map[types.NamespacedName]*corev1.Pod) {
	if len(w.known) != len(want) {
		w.fail("a full list of %d pods, there were %d", len(w.known), len(want))
	}
	for at, p := range want {
		if told := w.known[at]; told == nil || !equalPods(told, w.expected(p)) {
			w.fail("a full list has %v, but it was %v", told, p)
		}
	}
}

// expected returns a pod in the form that the store receives.
func (w *witness) expected(p *corev1.Pod) *corev1.Pod {
	p = p.DeepCopy()
	p.ManagedFields = nil
	if w.trimmed {
		p.Spec = trimmedSpec(p)
	}
	return p
}

// arrived notes a state of a pod, and an end that it shows for the first time.
func (w *witness) arrived(p *corev1.Pod) {
	before := w.known[keyOf(p)]
	if before != nil && before.UID != p.UID {
		w.fail("%s was told as %s, but %s has not left", p.Name, p.UID, before.UID)
	}
	if end := endOf(p); end != "" && (before == nil || endOf(before) != end) {
		w.owed = append(w.owed, milestone{p.UID, "end " + end})
	}
	w.known[keyOf(p)] = p
}

func (w *witness) left(p *corev1.Pod) {
	w.owed = append(w.owed, milestone{p.UID, gone})
	delete(w.known, keyOf(p))
}

// seal is called after Stop, and unseal before another Start. A new session may begin at a
// version that the store already has.
func (w *witness) seal()   { w.set(func() { w.sealed = true }) }
func (w *witness) unseal() { w.set(func() { w.sealed = false }) }

func (w *witness) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

func (w *witness) calls() (n int) {
	w.set(func() { n = w.count })
	return n
}

func (w *witness) observedVersion() (version uint64) {
	w.set(func() { version = w.observed })
	return version
}

// position returns what a reader that joins now is owed at once, and where what
// it is owed later begins.
func (w *witness) position() (at int, now []milestone) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.known {
		if end := endOf(p); end != "" {
			now = append(now, milestone{p.UID, "end " + end})
		}
	}
	return len(w.owed), now
}

// since returns, by executor, what readers were owed from a position on.
func (w *witness) since(at int, now []milestone) map[types.UID][]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return byExecutor(append(slices.Clip(now), w.owed[at:]...))
}

func byExecutor(all []milestone) map[types.UID][]string {
	lives := map[types.UID][]string{}
	for _, m := range all {
		lives[m.uid] = append(lives[m.uid], m.what)
	}
	return lives
}

// compareToList compares the store with a LIST of now, field by field.
func (w *witness) compareToList() {
	fresh := watchsource.NewStore()
	for _, p := range w.history.server.List(executors) {
		if w.history.selects(&p) {
			fresh.UpdatePod(w.expected(&p))
		}
	}
	want := slices.Collect(fresh.Snapshot().All())
	got := slices.Collect(w.inner.Snapshot().All())
	if len(got) != len(want) {
		w.fail("the store has %d executors, a LIST %d", len(got), len(want))
		return
	}
	for i := range want {
		same := equalPods(got[i].Pod, want[i].Pod)
		got[i].Pod, want[i].Pod = nil, nil
		if !same || got[i] != want[i] {
			w.fail("the store has %+v, a LIST %+v", got[i], want[i])
		}
	}
	if !w.inner.Snapshot().Complete() {
		w.fail("the snapshot is not complete")
	}
}

// contradiction returns what in a snapshot does not fit together, "" for
// nothing: counts and look-ups must agree with the contents.
func contradiction(s watchsource.Snapshot) string {
	counts := map[watchsource.State]int{}
	byName, byID := map[string]watchsource.Executor{}, map[string]watchsource.Executor{}
	last, n := watchsource.Executor{}, 0
	for e := range s.All() {
		if n > 0 && (e.Name < last.Name || e.Name == last.Name && e.Namespace <= last.Namespace) {
			return fmt.Sprintf("%s/%s comes after %s/%s", e.Namespace, e.Name, last.Namespace, last.Name)
		}
		last, n = e, n+1
		counts[e.State]++
		if _, ok := byName[e.Name]; !ok {
			byName[e.Name] = e
		}
		if other, ok := byID[e.ID]; !ok || e.CreatedAt.After(other.CreatedAt) {
			byID[e.ID] = e
		}
	}
	if s.Len() != n {
		return fmt.Sprintf("Len is %d, All has %d", s.Len(), n)
	}
	if counts[watchsource.Deleted] > 0 {
		return "an executor is Deleted"
	}
	for state := range watchsource.Deleted + 2 {
		if s.Count(state) != counts[state] {
			return fmt.Sprintf("Count(%v) is %d, All has %d", state, s.Count(state), counts[state])
		}
	}
	for name, want := range byName {
		if got, ok := s.Get(name); !ok || got != want {
			return fmt.Sprintf("Get(%q) is %v, %+v", name, ok, got)
		}
	}
	for id, want := range byID {
		if got, ok := s.ByID(id); id != "" && (!ok || got != want) {
			return fmt.Sprintf("ByID(%q) is %v, %+v", id, ok, got)
		}
	}
	return ""
}

// wentBack returns what in a snapshot is older than in one from before.
func wentBack(before, after watchsource.Snapshot) string {
	versions := map[types.UID]string{}
	for e := range before.All() {
		versions[lifeOf(e)] = e.ResourceVersion
	}
	for e := range after.All() {
		if v := versions[lifeOf(e)]; precedes(e.ResourceVersion, v) {
			return fmt.Sprintf("%s is at %s after %s", e.Name, e.ResourceVersion, v)
		}
	}
	if a, b := before.ResourceVersion(), after.ResourceVersion(); precedes(b, a) {
		return fmt.Sprintf("the version is %s after %s", b, a)
	}
	if before.Complete() && !after.Complete() || after.SyncedAt().Before(before.SyncedAt()) {
		return "it was more complete before"
	}
	return ""
}

// lifeOf tells the pods apart that bear one name in turn.
func lifeOf(e watchsource.Executor) types.UID {
	if e.UID != "" {
		return e.UID
	}
	return types.UID(e.Namespace + "/" + e.Name)
}

// precedes reports whether version a is known to be older than b. "0" is the
// version of nothing (KEP-5504).
func precedes(a, b string) bool {
	if a == "0" || b == "0" {
		return false
	}
	m, err := strconv.ParseUint(a, 10, 64)
	if err != nil {
		return false
	}
	n, err := strconv.ParseUint(b, 10, 64)
	return err == nil && m < n && n-m < historyGap // or else they are of two histories
}

// listener is a reader of the store that checks its batches.
type listener struct {
	fail     func(format string, args ...any)
	interval time.Duration
	nap      time.Duration // called after each batch
	ctx      context.Context
	cancel   context.CancelFunc
	anyOrder bool // a list may be of an earlier history

	from  int         // index of the first milestone that it is owed
	owed  []milestone // at once
	view  map[types.UID]watchsource.Executor
	shown []milestone

	batches int
	last    time.Time
}

// longestInterval is the longest that a listener may stay away.
const longestInterval = 3 * time.Minute

func newListener(ctx context.Context, fail func(string, ...any), r *rand.Rand) *listener {
	ctx, cancel := context.WithCancel(ctx)
	intervals := []time.Duration{0, 0, time.Millisecond, time.Second, time.Minute, 2 * time.Minute}
	naps := []time.Duration{0, 0, 0, 5 * time.Second, time.Minute}
	return &listener{
		fail: fail, interval: intervals[r.IntN(len(intervals))], nap: naps[r.IntN(len(naps))],
		ctx: ctx, cancel: cancel, view: map[types.UID]watchsource.Executor{},
	}
}

// follow reads batches.
func (l *listener) follow(store *watchsource.Store) {
	for batch := range store.Batches(l.ctx, l.interval) {
		l.take(batch)
		time.Sleep(l.nap)
	}
}

// look takes every snapshot that there is.
func (l *listener) look(store *watchsource.Store) {
	var before watchsource.Snapshot
	for {
		snapshot, superseded := store.Latest()
		if problem := wentBack(before, snapshot); problem != "" {
			l.fail("a newer snapshot is older: %s", problem)
		}
		before = snapshot
		select {
		case <-superseded:
		case <-l.ctx.Done():
			return
		}
	}
}

// take checks that a batch leads from what the reader knows to the snapshot
// beside it.
func (l *listener) take(batch watchsource.Batch) {
	if l.batches++; l.batches > 1 {
		if len(batch.Changes) == 0 {
			l.fail("an empty batch")
		}
		if d := time.Since(l.last); d < l.interval {
			l.fail("a batch %v after another, the interval is %v", d, l.interval)
		}
	}
	l.last = time.Now()
	for _, c := range batch.Changes {
		l.step(c)
	}
	n := 0
	for e := range batch.Snapshot.All() {
		n++
		if l.view[lifeOf(e)] != e {
			l.fail("the changes lead to %+v, the snapshot has %+v", l.view[lifeOf(e)], e)
		}
	}
	if n != len(l.view) {
		l.fail("the changes lead to %d executors, the snapshot has %d", len(l.view), n)
	}
}

func (l *listener) step(c watchsource.Change) {
	life := lifeOf(*c.After)
	before, known := l.view[life]
	if known != (c.Before != nil) || known && *c.Before != before {
		l.fail("a change of %s is from %+v, the reader was shown %+v", c.After.Name, c.Before, before)
		return
	}
	if known && !l.anyOrder && precedes(c.After.ResourceVersion, before.ResourceVersion) {
		l.fail("a change of %s from %s to %s", c.After.Name, before.ResourceVersion, c.After.ResourceVersion)
	}
	if c.After.State == watchsource.Deleted {
		l.shown = append(l.shown, milestone{life, gone})
		delete(l.view, life)
		return
	}
	l.view[life] = *c.After
	if want := stateOf(c.After.Pod); want != "" && want != c.After.State.String() {
		l.fail("%s is shown as %v, it is %s", c.After.Name, c.After.State, want)
	}
	if end := endOf(c.After.Pod); end != "" && (!known || endOf(before.Pod) != end) {
		l.shown = append(l.shown, milestone{life, "end " + end})
	}
}

// compare checks that the reader was shown every end and every deletion that the store
// received, each once and in order for each executor. A reader that has left may lack the
// last of them.
func (l *listener) compare(w *witness) {
	owed, shown := w.since(l.from, l.owed), byExecutor(l.shown)
	if w.history.restored() {
		// An end that was undone by a restore comes back as the same end.
		for _, all := range []map[types.UID][]string{owed, shown} {
			for uid := range all {
				all[uid] = slices.Compact(all[uid])
			}
		}
	}
	for uid, want := range owed {
		got := shown[uid]
		if l.ctx.Err() != nil && len(got) < len(want) {
			want = want[:len(got)]
		}
		if !slices.Equal(got, want) {
			l.fail("the reader of every %v was shown of %s %q, it was owed %q", l.interval, uid, got, want)
		}
	}
	for uid, got := range shown {
		if owed[uid] == nil {
			l.fail("the reader of every %v was shown of %s %q, it was owed nothing", l.interval, uid, got)
		}
	}
}

// wire reads the answers that the client gets, and counts which of them require a list.
type wire struct {
	next  http.RoundTripper
	trace *trace
	told  func() uint64 // the version up to which the store is complete

	mu        sync.Mutex
	lost      int // answers and events that say a version is gone, or that are no pod
	last      *tapped
	short     int // streams in a row that ended soon and brought nothing
	fruitless int // versions from which nothing came
	silent    int // streams in a row that the client gave up, and that brought nothing
	refused   int // answers in a row that may be about the version
}

// soon is within which the end of a stream may count against the version that
// it started from, and enough of them in a row are needed to give it up.
const (
	soon   = time.Second
	enough = 4
)

// mayConcernVersion lists the answers of which the third in a row costs a list.
func mayConcernVersion(r *http.Response) bool {
	switch r.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return false
	}
	return r.StatusCode >= 400 && r.Header.Get("Retry-After") == ""
}

// What costs a list: a version that is gone, or not there yet, and an object
// that is no pod.
var costly = []string{"Expired", "ResourceVersionTooLarge", foreign}

func (w *wire) listsOwed() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.settle()
	return w.lost + w.fruitless
}

func (w *wire) versionsLost() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lost
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	w.settle()
	w.mu.Unlock()
	response, err := w.next.RoundTrip(r)
	query := r.URL.Query()
	streaming, list := query.Get("watch") != "", query.Get("sendInitialEvents") != ""
	if err != nil {
		w.trace.add("    asked: watch %v, streaming list %v, from %q: %v", streaming, list, query.Get("resourceVersion"), err)
		return nil, err
	}
	w.trace.add("    asked: watch %v, streaming list %v, from %q: %s", streaming, list, query.Get("resourceVersion"), response.Status)
	body := &tapped{
		ReadCloser: response.Body, wire: w, opened: time.Now(),
		streaming: streaming && response.StatusCode == http.StatusOK, from: query.Get("resourceVersion"),
	}
	response.Body = body
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = body
	if query.Has("fieldSelector") && response.StatusCode >= 400 {
		w.fruitless++ // a look at the server's version that a silent server refuses
	}
	switch {
	case body.streaming:
		w.refused = 0
	case mayConcernVersion(response):
		if w.refused++; w.refused == 3 {
			w.refused = 0
			w.fruitless++
		}
	}
	if response.StatusCode == http.StatusGone {
		w.lost++ // whatever becomes of the body
		body.counted = true
	}
	return response, nil
}

// settle counts how the last stream ended, once the client asks for another.
func (w *wire) settle() {
	b := w.last
	if b == nil || !b.streaming {
		return
	}
	w.last = nil
	brought := b.from != "" && number(b.from) != w.told()
	if b.byClient && brought {
		w.silent = 1 // it brought something, and then went silent
	} else if b.byClient {
		if w.silent++; w.silent > 1 {
			w.fruitless++
		}
	} else if brought {
		w.silent = 0
	}
	if b.ended.IsZero() || b.ended.Sub(b.opened) >= soon || b.from != "" && number(b.from) != w.told() {
		w.short = 0
		return
	}
	if w.short++; w.short == enough {
		w.short = 0
		w.fruitless++
	}
}

// tapped is a body that is read along.
type tapped struct {
	io.ReadCloser
	wire          *wire
	streaming     bool
	from          string // the version that a stream starts from, "" if with a list
	opened, ended time.Time
	tail          string // the last bytes read, for words that come in parts
	counted       bool
	byClient      bool // the client has ended it
}

func (b *tapped) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.wire.mu.Lock()
	defer b.wire.mu.Unlock()
	for _, word := range costly {
		if b.counted {
			break
		}
		text := b.tail[max(0, len(b.tail)-len(word)+1):] + string(p[:n])
		b.wire.lost += strings.Count(text, word)
	}
	if b.tail += string(p[:n]); len(b.tail) > 64 {
		b.tail = b.tail[len(b.tail)-64:]
	}
	if err != nil {
		b.byClient = b.byClient || errors.Is(err, context.Canceled)
		b.end(err.Error())
	}
	return n, err
}

func (b *tapped) Close() error {
	b.wire.mu.Lock()
	b.byClient = b.byClient || b.ended.IsZero()
	b.end("closed by the client")
	b.wire.mu.Unlock()
	return b.ReadCloser.Close()
}

func (b *tapped) end(why string) {
	if b.ended.IsZero() {
		b.ended = time.Now()
		b.wire.trace.add("    ended after %v: %s", b.ended.Sub(b.opened), why)
	}
}
