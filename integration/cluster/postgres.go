// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
)

// ErrNotInstalled is the error of a store that is neither installed nor built.
var ErrNotInstalled = errors.New("not installed")

// postgres is kine with a PostgreSQL server, both of which crash and start together.
type postgres struct {
	*kine
	programs   string // the folder of PostgreSQL's programs
	dir        string // belongs to the server's user
	address    string
	credential *syscall.Credential // of the server's user, nil for that of this process
	server     process
}

func newPostgres(dir, program string) (store, error) {
	programs, err := postgresPrograms()
	if err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	k, err := newKine(dir, program, filepath.Join(dir, "kine-data"), "postgres://postgres@"+address+"/kine?sslmode=disable")
	if err != nil {
		return nil, err
	}
	p := &postgres{kine: k, programs: programs, address: address}
	if err := p.makeFolder(); err != nil {
		return nil, err
	}
	path, err := guarded(dir, filepath.Join(programs, "postgres"), p.asUser()...)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(p.dir))
	}
	p.server = process{
		name:    "PostgreSQL",
		command: func() *exec.Cmd { return exec.Command(path, "-D", p.data()) },
		ready:   func(ctx context.Context) bool { return p.run(ctx, "pg_isready", "-q") == nil },
	}
	return p, nil
}

// postgresPrograms returns the folder of the newest installation. Debian has it outside PATH.
func postgresPrograms() (string, error) {
	const where = "/usr/lib/postgresql/*/bin"
	found, err := filepath.Glob(where + "/initdb")
	if err != nil {
		return "", err
	}
	if len(found) == 0 {
		if path, err := exec.LookPath("initdb"); err == nil {
			return filepath.Dir(path), nil
		}
		return "", fmt.Errorf("PostgreSQL is %w: no initdb in PATH or %s", ErrNotInstalled, where)
	}
	return filepath.Dir(slices.Max(found)), nil
}

// makeFolder makes the server's folder. PostgreSQL refuses to run as root, and then runs as the
// user postgres, who must be able to reach the folder.
func (p *postgres) makeFolder() (err error) {
	p.dir, err = os.MkdirTemp("", "watchsource-postgres-*")
	if err != nil || os.Geteuid() != 0 {
		return err
	}
	owner, err := user.Lookup("postgres")
	if err != nil {
		return errors.Join(fmt.Errorf("PostgreSQL does not run as root, and its own user is %w: %w", ErrNotInstalled, err), os.RemoveAll(p.dir))
	}
	uid, _ := strconv.Atoi(owner.Uid)
	gid, _ := strconv.Atoi(owner.Gid)
	p.credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return os.Chown(p.dir, uid, gid)
}

// asUser is what runs a command as the server's user. The guard of the server must remain root
// to see this process.
func (p *postgres) asUser() []string {
	if p.credential == nil {
		return nil
	}
	return []string{"setpriv", fmt.Sprint("--reuid=", p.credential.Uid), fmt.Sprint("--regid=", p.credential.Gid), "--clear-groups"}
}

func (p *postgres) data() string { return filepath.Join(p.dir, "data") }

// run runs one of PostgreSQL's programs as the server's user.
func (p *postgres) run(ctx context.Context, program string, args ...string) error {
	host, port, err := net.SplitHostPort(p.address)
	if err != nil {
		return err
	}
	command := exec.CommandContext(ctx, filepath.Join(p.programs, program), args...)
	command.Dir = p.dir
	command.Env = append(os.Environ(), "PGHOST="+host, "PGPORT="+port, "PGUSER=postgres")
	if p.credential != nil {
		command.SysProcAttr = &syscall.SysProcAttr{Credential: p.credential}
	}
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", program, err, out)
	}
	return nil
}

func (p *postgres) start(ctx context.Context) error {
	if err := p.prepare(ctx); err != nil {
		return err
	}
	if err := p.server.start(ctx); err != nil {
		return err
	}
	return p.kine.start(ctx)
}

// prepare makes an empty database unless one exists.
func (p *postgres) prepare(ctx context.Context) error {
	settings := filepath.Join(p.data(), "postgresql.conf")
	if _, err := os.Stat(settings); err == nil {
		return nil
	}
	if err := p.run(ctx, "initdb", "-D", p.data(), "-A", "trust", "-U", "postgres", "-N"); err != nil {
		return err
	}
	file, err := os.OpenFile(settings, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	host, port, _ := net.SplitHostPort(p.address)
	_, err = fmt.Fprintf(file, "listen_addresses='%s'\nport=%s\nunix_socket_directories=''\nfsync=off\nwal_level=replica\n", host, port)
	return errors.Join(err, file.Close())
}

func (p *postgres) stop() error {
	err := p.end(syscall.SIGTERM)
	err = errors.Join(err, p.server.end(syscall.SIGINT)) // without waiting for clients
	return errors.Join(err, os.RemoveAll(p.dir))
}

// kill lets PostgreSQL end its processes, but without a checkpoint.
func (p *postgres) kill(context.Context) error {
	return errors.Join(p.end(syscall.SIGKILL), p.server.end(syscall.SIGQUIT))
}

// save makes a replica, which is not started and so falls behind.
func (p *postgres) save(ctx context.Context, _ string) error {
	if err := os.RemoveAll(p.replica()); err != nil {
		return err
	}
	return p.run(ctx, "pg_basebackup", "-D", p.replica(), "-c", "fast", "-X", "stream", "-R")
}

func (p *postgres) replica() string { return filepath.Join(p.dir, "replica") }

// putBack starts the replica in place of the primary, and promotes it.
func (p *postgres) putBack(ctx context.Context, _ string) error {
	if err := replaceFolder(ctx, p.data(), p.replica()); err != nil {
		return err
	}
	if err := p.server.start(ctx); err != nil {
		return err
	}
	if err := p.run(ctx, "pg_ctl", "promote", "-w", "-D", p.data()); err != nil {
		return err
	}
	return p.kine.start(ctx)
}
