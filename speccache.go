// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"k8s.io/apimachinery/pkg/types"

	"github.com/executorpods/watchsource/internal/podwire"
)

// specCache is the podwire.SpecCache of a store without pods.
type specCache struct{ store *Store }

func (c specCache) Lookup(uid []byte) podwire.CachedPod {
	s := c.store
	s.mu.Lock()
	defer s.mu.Unlock()
	index, ok := s.positions.byKey[types.UID(uid)]
	if !ok {
		return podwire.CachedPod{}
	}
	e := s.current.Load().view.executors.Get(index)
	return podwire.CachedPod{Name: e.Name, UID: e.UID, Spec: s.positions.spec(index)}
}

func (c specCache) Set(uid types.UID, spec podwire.CachedSpec) {
	s := c.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if index, ok := s.positions.byKey[uid]; ok {
		s.positions.setSpec(index, spec)
	}
}

// sharedSpecCache is the podwire.SpecCache of a shared watch.
type sharedSpecCache struct{ connection *connection }

func (c sharedSpecCache) Lookup(uid []byte) podwire.CachedPod {
	for _, s := range c.connection.sessionsOf(types.UID(uid)) {
		if store, ok := dropsPods(s.source.store); ok {
			return specCache{store}.Lookup(uid)
		}
	}
	return podwire.CachedPod{}
}

func (c sharedSpecCache) Set(uid types.UID, spec podwire.CachedSpec) {
	for _, s := range c.connection.sessionsOf(uid) {
		if store, ok := dropsPods(s.source.store); ok {
			specCache{store}.Set(uid, spec)
		}
	}
}
