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

// firstVersion is the resource version of an empty server. A few writes later versions have
// one digit more, so a client that compares versions as text fails early.
const firstVersion = 99_990

// store holds the pods, the version counter and the history of changes. It has no lock:
// Server.mu guards it. Stored pods are never modified.
type store struct {
	version   uint64
	compacted uint64 // the oldest version that can still be read or watched from
	keep      int    // the number of changes in the history, 0 for all
	pods      map[string]*corev1.Pod
	history   []*change // in order of version, all newer than compacted
	view      view      // cached: the last result of at
}

// view contains every pod at one version, in order of key.
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

// key returns namespace and name as one string. The order of keys is the order of pods in
// the API server's storage.
func key(namespace, name string) string { return namespace + "/" + name }

func keyOf(pod *corev1.Pod) string { return key(pod.Namespace, pod.Name) }

// put stores a new or changed pod with the next version.
func (s *store) put(pod *corev1.Pod) *change {
	s.version++
	before := s.pods[keyOf(pod)]
	after := normalised(pod, s.version)
	s.pods[keyOf(after)] = after
	return s.record(&change{version: s.version, before: before, after: after})
}

// remove deletes an existing pod. The deletion gets a new version.
func (s *store) remove(key string) *change {
	s.version++
	before := s.pods[key]
	delete(s.pods, key)
	return s.record(&change{version: s.version, before: before})
}

func (s *store) record(c *change) *change {
	s.history = append(s.history, c)
	if excess := len(s.history) - s.keep; s.keep > 0 && excess > 0 {
		s.compactTo(s.history[excess-1].version)
	}
	return c
}

// clone returns a store that is independent of s. They share the pods, which are never
// modified.
func (s *store) clone() store {
	c := *s
	c.pods = maps.Clone(s.pods)
	c.history = slices.Clone(s.history)
	c.view = view{}
	return c
}

// compactTo discards the changes up to a version. The version itself stays readable.
func (s *store) compactTo(version uint64) {
	kept := s.after(version)
	clear(s.history[:len(s.history)-len(kept)])
	s.history = kept
	s.compacted = version
}

// after returns the changes that are newer than a version.
func (s *store) after(version uint64) []*change {
	first := sort.Search(len(s.history), func(i int) bool { return s.history[i].version > version })
	return s.history[first:]
}

// at returns every pod at a version that is not compacted, in order of key. It reverts the
// newer changes and caches the result, so the pages of one list need one computation.
func (s *store) at(version uint64) []*corev1.Pod {
	if s.view.version == version {
		return s.view.pods
	}
	byKey := maps.Clone(s.pods)
	for _, c := range slices.Backward(s.after(version)) {
		if c.before != nil {
			byKey[c.key()] = c.before
		} else {
			delete(byKey, c.key())
		}
	}
	pods := make([]*corev1.Pod, 0, len(byKey))
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		pods = append(pods, byKey[key])
	}
	s.view = view{version: version, pods: pods}
	return pods
}

// normalised returns a copy of the pod as a client would decode it: times are in whole
// seconds, and empty lists and maps are nil. So the pods that the server returns to a test
// equal the pods that a client receives.
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

	added, modified, deleted *event // cached by eventFor
}

func (c *change) key() string {
	if c.after != nil {
		return keyOf(c.after)
	}
	return keyOf(c.before)
}

// eventFor returns the event that a watcher receives for the change, nil for none. If the
// pod leaves the selection, the event is DELETED and contains the previous state.
func (c *change) eventFor(sel selection) *event {
	wasSelected := c.before != nil && sel.matches(c.before)
	selected := c.after != nil && sel.matches(c.after)
	switch {
	case selected && wasSelected:
		return cachedEvent(&c.modified, watch.Modified, c.after)
	case selected:
		return cachedEvent(&c.added, watch.Added, c.after)
	case wasSelected:
		return cachedEvent(&c.deleted, watch.Deleted, c.deletedPod())
	default:
		return nil
	}
}

// deletedPod returns the previous state of the pod, with the version of the change.
func (c *change) deletedPod() *corev1.Pod {
	pod := *c.before
	pod.ResourceVersion = versionString(c.version)
	return &pod
}

// cachedEvent returns the event in the cache, and creates it on the first call.
func cachedEvent(cache **event, kind watch.EventType, pod *corev1.Pod) *event {
	if *cache == nil {
		*cache = podEvent(kind, pod)
	}
	return *cache
}
