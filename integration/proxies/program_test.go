// SPDX-License-Identifier: Apache-2.0

package proxies

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/cert"
)

// A program is a proxy that can be started.
type program struct {
	name    string
	version []string // arguments that make it print its version
	// command writes the configuration of listeners before a server into a directory, and
	// returns the arguments to start the program with.
	command func(t *testing.T, site site) []string
}

// A site is what the configuration of a proxy is made from.
type site struct {
	dir         string
	upstream    string // host and port of the API server
	certificate string // files, for TLS with the clients
	key         string
	both        string // a file that has the certificate and the key
	listeners   []*listener
}

// A listener is a port of a proxy, with its settings.
type listener struct {
	address  string
	http2    bool   // HTTP/2 and TLS with the client, otherwise HTTP/1.1 without TLS
	settings string // in the language of the proxy
}

// A proxy is a program that runs.
type proxy struct {
	group     int // of processes
	stop      func()
	authority []byte
}

func (s site) write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// address gives listeners without an address one at which nothing listens. All are taken before
// the first is given back, so that no two are the same.
func address(t *testing.T, listeners []*listener) {
	t.Helper()
	for _, l := range listeners {
		if l.address != "" {
			continue
		}
		taken, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer taken.Close()
		l.address = taken.Addr().String()
	}
}

func (p *program) installed() bool {
	_, err := exec.LookPath(p.name)
	return err == nil
}

// mustBeInstalled returns the version of the program, and skips the test without it.
func (p *program) mustBeInstalled(t *testing.T) string {
	t.Helper()
	if !p.installed() {
		t.Skipf("left out: %s is not in PATH; .ci/run proxies installs it", p.name)
	}
	version, err := exec.Command(p.name, p.version...).CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(version))
}

// start starts the program in front of an API server until the test ends, or until it is
// stopped. Listeners without an address get one.
func (p *program) start(t *testing.T, upstream string, listeners []*listener) *proxy {
	t.Helper()
	path, err := exec.LookPath(p.name)
	if err != nil {
		t.Fatal(err)
	}
	certificate, key, err := cert.GenerateSelfSignedCertKey("127.0.0.1", []net.IP{net.IPv4(127, 0, 0, 1)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := site{dir: t.TempDir(), upstream: upstream, listeners: listeners}
	s.certificate, s.key = s.write(t, "tls.crt", string(certificate)), s.write(t, "tls.key", string(key))
	s.both = s.write(t, "tls.pem", string(certificate)+string(key))
	address(t, listeners)
	log, err := os.Create(filepath.Join(s.dir, "output"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	command := exec.Command(path, p.command(t, s)...)
	command.Dir, command.Stdout, command.Stderr = s.dir, log, log
	command.Env = append(os.Environ(), "HOME="+s.dir, "XDG_DATA_HOME="+s.dir, "XDG_CONFIG_HOME="+s.dir)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	started := &proxy{group: command.Process.Pid, authority: certificate}
	forget := started.guard(t)
	started.stop = sync.OnceFunc(func() {
		started.signal(syscall.SIGKILL)
		_ = command.Wait() // says only that it was killed
		forget()
	})
	t.Cleanup(started.stop)
	for _, l := range listeners {
		if err := l.wait(t.Context()); err != nil {
			output, _ := os.ReadFile(log.Name())
			t.Fatalf("%s does not listen: %v\n%s", p.name, err, output)
		}
	}
	return started
}

// guard starts a process that ends the proxy if this process is ended before the test.
func (p *proxy) guard(t *testing.T) (forget func()) {
	t.Helper()
	script := fmt.Sprintf("while kill -0 %d; do sleep 1; done; kill -KILL -- -%d", os.Getpid(), p.group)
	guard := exec.Command("sh", "-c", script)
	if err := guard.Start(); err != nil {
		t.Fatal(err)
	}
	return func() {
		_ = guard.Process.Kill()
		_ = guard.Wait()
	}
}

// signal sends a signal to all processes of the proxy.
func (p *proxy) signal(s syscall.Signal) { _ = syscall.Kill(-p.group, s) }

// through returns the configuration of a client that goes through a listener of the proxy.
func (p *proxy) through(l *listener, config *rest.Config) *rest.Config {
	config = rest.CopyConfig(config)
	config.TLSClientConfig = rest.TLSClientConfig{}
	config.Host = "http://" + l.address
	if l.http2 {
		config.Host = "https://" + l.address
		config.CAData = p.authority
	}
	return config
}

func (l *listener) wait(ctx context.Context) error {
	return wait.PollUntilContextTimeout(ctx, 20*time.Millisecond, 20*time.Second, true, func(context.Context) (bool, error) {
		conn, err := net.Dial("tcp", l.address)
		if err != nil {
			return false, nil
		}
		return true, conn.Close()
	})
}
