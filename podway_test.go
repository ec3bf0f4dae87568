// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/internal/test/podtest"
	"github.com/executorpods/watchsource/watchtest"
)

// The ways on which a pod comes from a server into a store.

// A podWay is one way of pods from a server to a Store.
type podWay struct {
	name      string
	newSource modeltest.NewSource
	client    func(t *testing.T, server *watchtest.Server) kubernetes.Interface
	server    *watchtest.Server
	// user receives the same pods at the same time if it is not nil.
	user *podRecorder
	// filled returns the pod of a seed, with something in half of its fields.
	filled func(seed uint64) *corev1.Pod
}

// eachPodWay runs a test in a bubble for each way: both constructors, each kind of client and
// of list, directly and through Tee.
func eachPodWay(t *testing.T, test func(t *testing.T, way podWay)) {
	eachConstructor(t, func(t *testing.T, newSource modeltest.NewSource) {
		for clientName, client := range podClients {
			for listName, options := range podLists {
				for _, tee := range []bool{false, true} {
					way := podWay{name: clientName + "/" + listName, newSource: newSource, client: client, filled: podtest.Filled}
					if tee {
						way.name += "/through Tee"
						way.user = new(podRecorder)
					}
					if strings.Contains(clientName, "JSON") {
						way.filled = podtest.FilledForJSON
					}
					inBubble(t, way.name, func(t *testing.T) {
						way.server = watchtest.NewServer(options...)
						test(t, way)
					})
				}
			}
		}
	})
}

// start starts a source of podtest.App for a store. The test's cleanup stops it.
func (w podWay) start(t *testing.T, store *watchsource.Store, options ...watchsource.Option) *watchsource.WatchSnapshotSource {
	t.Helper()
	var to watchsource.SnapshotsStore = store
	if w.user != nil {
		to = watchsource.Tee(w.user, store)
	}
	source := w.newSource(to, w.client(t, w.server), options...)
	start(t, source, podtest.App)
	t.Cleanup(source.Stop)
	return source
}

// executorOf makes any pod an executor of podtest.App with a name.
func executorOf(p *corev1.Pod, name string) *corev1.Pod {
	p.Namespace, p.Name, p.UID, p.ResourceVersion = podtest.Namespace, name, types.UID("uid-"+name), ""
	if p.Labels == nil {
		p.Labels = map[string]string{}
	}
	p.Labels[watchsource.LabelApp] = podtest.App
	p.Labels[watchsource.LabelRole] = watchsource.RoleExecutor
	p.Labels[watchsource.LabelExecutorID] = name
	return p
}

// shapes returns pods of many shapes, by their names: small, as on a real cluster, nearly equal
// to each other, and with something in half of all fields.
func (w podWay) shapes() map[string]*corev1.Pod {
	shapes := map[string]*corev1.Pod{
		"bare":     {},
		"small":    pod("1"),
		"runnable": pod("1", podtest.Runnable, phase(corev1.PodRunning), container(executorContainer, running())),
		"odd":      pod("EXECID", phase("odd")),
	}
	for id := range 3 {
		shapes[fmt.Sprint("spark-", id)] = podtest.Executor(id, 1, id > 0)
		shapes[fmt.Sprint("sidecars-", id)] = fullPod(id)
	}
	for seed := range uint64(8) {
		shapes[fmt.Sprint("filled-", seed)] = w.filled(seed)
	}
	for name, p := range shapes {
		shapes[name] = executorOf(p, name)
	}
	return shapes
}

// podVersions are the pods of a server at all their versions.
type podVersions struct {
	server *watchtest.Server
	pods   map[string]*corev1.Pod
}

func versionsOf(server *watchtest.Server) *podVersions {
	return &podVersions{server: server, pods: map[string]*corev1.Pod{}}
}

func versionKey(name, resourceVersion string) string { return name + " at version " + resourceVersion }

func (v *podVersions) add(p *corev1.Pod) *corev1.Pod {
	p.ManagedFields = nil
	v.pods[versionKey(p.Name, p.ResourceVersion)] = p
	return p
}

func (v *podVersions) create(p *corev1.Pod) { v.add(v.server.Create(p)) }

func (v *podVersions) update(name string, change func(*corev1.Pod)) *corev1.Pod {
	return v.add(v.server.Update(podtest.Namespace, name, change))
}

func (v *podVersions) delete(name string) { v.add(v.server.Delete(podtest.Namespace, name)) }

// become changes a pod into another, which keeps the name.
func become(other *corev1.Pod) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		name := p.Name
		*p = *executorOf(other.DeepCopy(), name)
	}
}

// check fails unless an executor's pod is the server's pod at its version.
func (v *podVersions) check(t *testing.T, e watchsource.Executor) {
	t.Helper()
	key := versionKey(e.Name, e.ResourceVersion)
	want := v.pods[key]
	if want == nil {
		t.Fatalf("an executor %s, want one that the server had", key)
	}
	if got := keptPod(t, e); !podtest.Equal(got, want) {
		t.Errorf("%s, %v: Pod() returned\n%+v\nwant\n%+v", key, e.State, got, want)
	}
}

// seenExecutors are all executors that a store has shown, each once.
type seenExecutors struct {
	store *watchsource.Store
	all   []watchsource.Executor
	known map[watchsource.Executor]bool
}

// watchStore collects the executors of all batches until the source stops.
func watchStore(t *testing.T, store *watchsource.Store) *seenExecutors {
	seen := &seenExecutors{store: store, known: map[watchsource.Executor]bool{}}
	go func() {
		for batch := range store.Batches(t.Context(), 0) {
			for _, c := range batch.Changes {
				if c.Before != nil {
					seen.add(*c.Before)
				}
				seen.add(*c.After)
			}
			seen.addAll(batch.Snapshot)
		}
	}()
	synctest.Wait()
	return seen
}

func (s *seenExecutors) add(e watchsource.Executor) {
	if !s.known[e] {
		s.known[e] = true
		s.all = append(s.all, e)
	}
}

func (s *seenExecutors) addAll(snapshot watchsource.Snapshot) {
	for e := range snapshot.All() {
		s.add(e)
	}
}

// wait returns once the store has received everything, and adds its present executors.
func (s *seenExecutors) wait() {
	synctest.Wait()
	s.addAll(s.store.Snapshot())
}

// in returns the first executor of a name that was seen in a state.
func (s *seenExecutors) in(t *testing.T, name string, state watchsource.State) watchsource.Executor {
	t.Helper()
	for _, e := range s.all {
		if e.Name == name && e.State == state {
			return e
		}
	}
	t.Fatalf("%s was not seen %v", name, state)
	return watchsource.Executor{}
}
