// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// BackupEtcd copies the data of etcd, which is away meanwhile. The function that
// it returns stops both programs, puts the copy back and starts them, as an
// operator does who restores a cluster: the API server then counts resource
// versions again from those of the copy.
func (c *Cluster) BackupEtcd(ctx context.Context) (restore func(context.Context) error, err error) {
	backup, err := os.MkdirTemp(c.dir, "etcd-backup-*")
	if err != nil {
		return nil, fmt.Errorf("back up etcd: %w", err)
	}
	copied := filepath.Join(backup, "data")
	if err := c.withoutEtcd(ctx, func() error { return os.CopyFS(copied, os.DirFS(c.plane.Etcd.DataDir)) }); err != nil {
		return nil, fmt.Errorf("back up etcd: %w", err)
	}
	restore = func(ctx context.Context) error {
		if err := c.StopAPIServer(); err != nil {
			return fmt.Errorf("restore etcd: %w", err)
		}
		err := c.withoutEtcd(ctx, func() error {
			if err := os.RemoveAll(c.plane.Etcd.DataDir); err != nil {
				return err
			}
			return os.CopyFS(c.plane.Etcd.DataDir, os.DirFS(copied))
		})
		if err != nil {
			return fmt.Errorf("restore etcd: %w", err)
		}
		return c.StartAPIServer(ctx)
	}
	return restore, nil
}

// withoutEtcd ends etcd, does work, and starts etcd again.
func (c *Cluster) withoutEtcd(ctx context.Context, work func() error) error {
	if err := kill(ctx, c.plane.Etcd.DataDir); err != nil {
		return err
	}
	err := work()
	if startErr := c.plane.Etcd.Start(); startErr != nil {
		return startErr
	}
	return err
}

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
