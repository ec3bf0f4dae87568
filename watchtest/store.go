// SPDX-License-Identifier: Apache-2.0

package watchtest

import (
	"fmt"
	"maps"
	"slices"
	"sort"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// firstVersion is the resource version of an empty server. It is a few writes
// short of one more digit, so a client that compares versions as text, which
// works until it does not, fails early.
const firstVersion = 99_990

// store holds the pods, one counter of versions and the history of changes.
// It has no lock: [Server] guards it. Pods in it are never written to again.
type store struct {
	version   uint64
	compacted uint64 // the oldest version that can still be read or watched from
	keep      int    // how many changes the history holds, 0 for all
	pods      map[string]*corev1.Pod
	history   []*change // by version, all above compacted
	view      view      // the last one asked for
}

// view is every pod as of one version, by key.
type view struct {
	version uint64
	pods    []*corev1.Pod
}

func newStore(keep int) store {
	return store{
		version:   firstVersion,
		compacted: firstVersion,
		keep:      keep,
		pods:      make(map[string]*corev1.Pod),
	}
}

// key orders pods as the API server's storage does: by namespace and name in
// one string.
func key(namespace, name string) string { return namespace + "/" + name }

func keyOf(pod *corev1.Pod) string { return key(pod.Namespace, pod.Name) }

// put stores a pod that was created or changed, under the next version.
func (s *store) put(pod *corev1.Pod) *change {
	s.version++
	before := s.pods[keyOf(pod)]
	after := normalised(pod, s.version)
	s.pods[keyOf(after)] = after
	return s.remember(&change{version: s.version, before: before, after: after})
}

// remove deletes an existing pod. The deletion gets a new version.
func (s *store) remove(key string) *change {
	s.version++
	before := s.pods[key]
	delete(s.pods, key)
	return s.remember(&change{version: s.version, before: before})
}

func (s *store) remember(c *change) *change {
	s.history = append(s.history, c)
	if excess := len(s.history) - s.keep; s.keep > 0 && excess > 0 {
		s.compactTo(s.history[excess-1].version)
	}
	return c
}

// clone returns a store that is independent of s. The pods are shared, which are
// never written to.
func (s *store) clone() store {
	c := *s
	c.pods = maps.Clone(s.pods)
	c.history = slices.Clone(s.history)
	c.view = view{}
	return c
}

// compactTo forgets what led to a version; the version itself stays readable.
func (s *store) compactTo(version uint64) {
	old := s.after(version)
	clear(s.history[:len(s.history)-len(old)])
	s.history = old
	s.compacted = version
}

// after returns the changes above a version.
func (s *store) after(version uint64) []*change {
	first := sort.Search(len(s.history), func(i int) bool { return s.history[i].version > version })
	return s.history[first:]
}

// at returns every pod as of a version that is not compacted, by key. It goes
// back from today, so pages of a list cost one computation.
func (s *store) at(version uint64) []*corev1.Pod {
	if s.view.version == version {
		return s.view.pods
	}
	then := maps.Clone(s.pods)
	for _, c := range slices.Backward(s.after(version)) {
		if c.before != nil {
			then[c.key()] = c.before
		} else {
			delete(then, c.key())
		}
	}
	pods := make([]*corev1.Pod, 0, len(then))
	for _, key := range slices.Sorted(maps.Keys(then)) {
		pods = append(pods, then[key])
	}
	s.view = view{version: version, pods: pods}
	return pods
}

// normalised returns a copy of the pod as a client would decode it: times in
// whole seconds, empty lists and maps gone. So what the server returns to a
// test equals what a client of it sees.
func normalised(pod *corev1.Pod, version uint64) *corev1.Pod {
	encoded, err := pod.Marshal()
	if err != nil {
		panic(fmt.Sprintf("watchtest: encode a pod: %v", err))
	}
	out := new(corev1.Pod)
	if err := out.Unmarshal(encoded); err != nil {
		panic(fmt.Sprintf("watchtest: decode a pod: %v", err))
	}
	out.ResourceVersion = versionString(version)
	return out
}

func versionString(version uint64) string { return strconv.FormatUint(version, 10) }

// change is one write.
type change struct {
	version uint64
	before  *corev1.Pod // nil: the pod was created
	after   *corev1.Pod // nil: the pod was deleted

	added, modified, deleted *event // made when first wanted
}

func (c *change) key() string {
	if c.after != nil {
		return keyOf(c.after)
	}
	return keyOf(c.before)
}

// eventFor returns what a watcher sees of the change, nil for nothing. A pod
// that leaves a selection is deleted as far as the watcher is concerned, and
// comes as it was while it was still selected.
func (c *change) eventFor(sel selection) *event {
	was := c.before != nil && sel.matches(c.before)
	is := c.after != nil && sel.matches(c.after)
	switch {
	case is && was:
		return once(&c.modified, watch.Modified, c.after)
	case is:
		return once(&c.added, watch.Added, c.after)
	case was:
		return once(&c.deleted, watch.Deleted, c.gone())
	default:
		return nil
	}
}

// gone is the pod as it was, with the version of its leaving.
func (c *change) gone() *corev1.Pod {
	pod := *c.before
	pod.ResourceVersion = versionString(c.version)
	return &pod
}

func once(slot **event, kind watch.EventType, pod *corev1.Pod) *event {
	if *slot == nil {
		*slot = podEvent(kind, pod)
	}
	return *slot
}
