// SPDX-License-Identifier: Apache-2.0

package workerjob_test

import (
	"context"
	"errors"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// A routingClient sends the requests for pods to another client.
type routingClient struct {
	client.Client
	pods client.Client
}

func (c routingClient) to(obj any) client.Client {
	if _, ok := obj.(*corev1.Pod); ok {
		return c.pods
	}
	return c.Client
}

func (c routingClient) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	if _, ok := obj.(*corev1.Pod); ok {
		return errors.New("a pod is read from the manager's cache")
	}
	return c.Client.Get(ctx, key, obj, opts...)
}

func (c routingClient) Create(ctx context.Context, obj client.Object, opts ...client.CreateOption) error {
	return c.to(obj).Create(ctx, obj, opts...)
}

func (c routingClient) Update(ctx context.Context, obj client.Object, opts ...client.UpdateOption) error {
	return c.to(obj).Update(ctx, obj, opts...)
}

func (c routingClient) Patch(ctx context.Context, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
	return c.to(obj).Patch(ctx, obj, patch, opts...)
}

func (c routingClient) DeleteAllOf(ctx context.Context, obj client.Object, opts ...client.DeleteAllOfOption) error {
	return c.to(obj).DeleteAllOf(ctx, obj, opts...)
}

var errDied = errors.New("the process has died")

// A life ends at a write.
type life struct {
	dieAt   int
	applied bool
	died    chan struct{}

	mu     sync.Mutex
	writes int
	// beforeStatus is called once, before a status is written.
	beforeStatus func()
}

func (l *life) dead() bool {
	select {
	case <-l.died:
		return true
	default:
		return false
	}
}

func (l *life) write(do func() error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead() {
		return errDied
	}
	l.writes++
	if l.writes != l.dieAt {
		return do()
	}
	if l.applied {
		_ = do()
	}
	close(l.died)
	return errDied
}

// count returns the number of writes.
func (l *life) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.writes
}

// A mortalClient sends nothing after the end of its life.
type mortalClient struct {
	client.Client
	life *life
}

func (c mortalClient) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	if c.life.dead() {
		return errDied
	}
	return c.Client.Get(ctx, key, obj, opts...)
}

func (c mortalClient) Create(ctx context.Context, obj client.Object, opts ...client.CreateOption) error {
	return c.life.write(func() error { return c.Client.Create(ctx, obj, opts...) })
}

func (c mortalClient) Update(ctx context.Context, obj client.Object, opts ...client.UpdateOption) error {
	return c.life.write(func() error { return c.Client.Update(ctx, obj, opts...) })
}

func (c mortalClient) Patch(ctx context.Context, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
	return c.life.write(func() error { return c.Client.Patch(ctx, obj, patch, opts...) })
}

func (c mortalClient) DeleteAllOf(ctx context.Context, obj client.Object, opts ...client.DeleteAllOfOption) error {
	return c.life.write(func() error { return c.Client.DeleteAllOf(ctx, obj, opts...) })
}

func (c mortalClient) Status() client.SubResourceWriter {
	return mortalStatus{c.Client.Status(), c.life}
}

type mortalStatus struct {
	client.SubResourceWriter
	life *life
}

func (s mortalStatus) Update(ctx context.Context, obj client.Object, opts ...client.SubResourceUpdateOption) error {
	return s.life.write(func() error {
		if before := s.life.beforeStatus; before != nil {
			s.life.beforeStatus = nil
			before()
		}
		return s.SubResourceWriter.Update(ctx, obj, opts...)
	})
}
