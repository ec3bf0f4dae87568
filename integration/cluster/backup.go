// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// A Backup is an older state of the store: a copy of its data, or a replica that has fallen
// behind if the store is PostgreSQL.
type Backup struct {
	cluster *Cluster
	dir     string
}

// Backup makes a backup. The store may be away meanwhile.
func (c *Cluster) Backup(ctx context.Context) (*Backup, error) {
	folder, err := os.MkdirTemp(c.dir, "backup-*")
	if err != nil {
		return nil, fmt.Errorf("back up the store: %w", err)
	}
	b := &Backup{cluster: c, dir: filepath.Join(folder, "data")}
	if err := c.store.save(ctx, b.dir); err != nil {
		return nil, fmt.Errorf("back up the store: %w", err)
	}
	return b, nil
}

// Restore stops the API server and the store, puts the backup in place and starts them, as an
// operator does who restores a cluster: the API server then counts resource versions again
// from those of the backup.
func (b *Backup) Restore(ctx context.Context) error {
	if err := b.cluster.StopAPIServer(); err != nil {
		return fmt.Errorf("restore the store: %w", err)
	}
	if err := b.PutBack(ctx); err != nil {
		return err
	}
	return b.cluster.StartAPIServer(ctx)
}

// PutBack kills the store and puts the backup in its place, while the API server runs on.
func (b *Backup) PutBack(ctx context.Context) error {
	if err := b.cluster.store.kill(ctx); err != nil {
		return fmt.Errorf("put back the store: %w", err)
	}
	if err := b.cluster.store.putBack(ctx, b.dir); err != nil {
		return fmt.Errorf("put back the store: %w", err)
	}
	return nil
}

// RestartStore ends the store as a crash does, leaves it away for a while, and brings
// it back with the data that it had.
func (c *Cluster) RestartStore(ctx context.Context, away time.Duration) error {
	if err := c.store.kill(ctx); err != nil {
		return fmt.Errorf("kill the store: %w", err)
	}
	select {
	case <-time.After(away):
	case <-ctx.Done():
	}
	// Even if ctx has ended: without the store the other processes cannot stop normally.
	if err := c.store.start(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("start the store: %w", err)
	}
	return ctx.Err()
}

// ErrNotEtcd is the error of what only etcd can do.
var ErrNotEtcd = errors.New("the store is not etcd")

// AdvanceVersion raises the resource version by n, by writes to a key of etcd
// that no resource has.
func (c *Cluster) AdvanceVersion(ctx context.Context, n int) error {
	const writers = 16
	errs := make(chan error, writers)
	var writing sync.WaitGroup
	for range writers {
		writing.Go(func() {
			for range n / writers {
				var done json.RawMessage
				if err := c.askEtcd(ctx, "/v3/kv/put", map[string]any{"key": "dW51c2Vk", "value": "AA=="}, &done); err != nil {
					errs <- fmt.Errorf("advance the version of etcd: %w", err)
					return
				}
			}
		})
	}
	writing.Wait()
	close(errs)
	return <-errs
}
