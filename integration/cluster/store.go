// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// A store runs what the API server keeps its objects in, at the same address each time.
type store interface {
	url() *url.URL
	start(context.Context) error
	stop() error
	// kill ends it as a crash does.
	kill(context.Context) error
	// save copies the data to dir, a new folder.
	save(ctx context.Context, dir string) error
	// putBack replaces the data by a copy and starts. The store has been stopped or killed.
	putBack(ctx context.Context, dir string) error
}

func newStore(kind Store, dir string, programs binaries) (store, error) {
	switch kind {
	case KineSQLite:
		return newSQLite(dir, programs.kine)
	case KinePostgres:
		return newPostgres(dir, programs.kine)
	default:
		return newEtcd(dir, programs.etcd)
	}
}

type etcd struct{ *envtest.Etcd }

func newEtcd(dir, program string) (store, error) {
	path, err := guarded(dir, program)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "etcd-data")
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	return etcd{&envtest.Etcd{Path: path, DataDir: data, StartTimeout: startTimeout, StopTimeout: stopTimeout}}, nil
}

func (e etcd) url() *url.URL { return e.URL }

func (e etcd) start(context.Context) error { return e.Start() }

func (e etcd) stop() error { return e.Stop() }

func (e etcd) kill(ctx context.Context) error { return kill(ctx, e.DataDir) }

func (e etcd) save(ctx context.Context, dir string) error {
	if err := e.kill(ctx); err != nil {
		return err
	}
	if err := copyFolder(ctx, e.DataDir, dir); err != nil {
		return err
	}
	return e.Start()
}

func (e etcd) putBack(ctx context.Context, dir string) error {
	if err := replaceFolder(ctx, e.DataDir, dir); err != nil {
		return err
	}
	return e.Start()
}

// kine speaks etcd's protocol and keeps the objects in a database.
type kine struct {
	process
	address string
}

// newKine returns kine, which runs in the folder data. endpoint says where the database is, ""
// for SQLite's file in data.
func newKine(dir, program, data, endpoint string) (*kine, error) {
	path, err := guarded(dir, program)
	if err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	return &kine{address: address, process: process{
		name: "kine",
		command: func() *exec.Cmd {
			command := exec.Command(path, "--listen-address", "tcp://"+address, "--metrics-bind-address", "0", "--endpoint", endpoint)
			command.Dir = data
			return command
		},
		ready: func(ctx context.Context) bool { return listens(ctx, address) },
	}}, nil
}

func (k *kine) url() *url.URL { return &url.URL{Scheme: "http", Host: k.address} }

// sqlite is kine with its default database.
type sqlite struct {
	*kine
	data string
}

func newSQLite(dir, program string) (store, error) {
	data := filepath.Join(dir, "kine-data")
	k, err := newKine(dir, program, data, "")
	return sqlite{k, data}, err
}

func (s sqlite) stop() error { return s.end(syscall.SIGTERM) }

func (s sqlite) kill(context.Context) error { return s.end(syscall.SIGKILL) }

func (s sqlite) save(ctx context.Context, dir string) error {
	if err := s.kill(ctx); err != nil {
		return err
	}
	if err := copyFolder(ctx, s.data, dir); err != nil {
		return err
	}
	return s.start(ctx)
}

func (s sqlite) putBack(ctx context.Context, dir string) error {
	if err := replaceFolder(ctx, s.data, dir); err != nil {
		return err
	}
	return s.start(ctx)
}

// copyFolder keeps owners, which os.CopyFS does not.
func copyFolder(ctx context.Context, from, to string) error {
	if out, err := exec.CommandContext(ctx, "cp", "-a", from, to).CombinedOutput(); err != nil {
		return fmt.Errorf("copy %s: %w: %s", from, err, out)
	}
	return nil
}

func replaceFolder(ctx context.Context, folder, with string) error {
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	return copyFolder(ctx, with, folder)
}
