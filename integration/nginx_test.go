// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/executorpods/watchsource"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
)

// By default nginx before 1.29.7 speaks HTTP/1.0 to its upstream. It then passes lists and no
// watches, and Start says so.
func TestStartThroughNginx(t *testing.T) {
	for _, test := range []struct {
		name     string
		settings string
		says     []string // the error of Start, none if it succeeds
	}{
		{name: "HTTP/1.0", settings: "proxy_http_version 1.0;", says: []string{"lists are answered and watches are not", "proxy_http_version 1.1", "proxy_buffering off"}},
		{name: "HTTP/1.1", settings: "proxy_http_version 1.1; proxy_buffering off; proxy_read_timeout 3600s;"},
	} {
		t.Run(test.name, func(t *testing.T) {
			client := newClient(t, throughNginx(t, test.settings))
			namespace := newNamespace(t, admin(t))
			source := watchsource.NewWatchSnapshotSource(watchsource.NewStore(), client,
				watchsource.WithNamespace(namespace), watchsource.WithStartTimeout(4*time.Second))
			t.Cleanup(source.Stop)
			err := source.Start(appID)
			if (err != nil) != (test.says != nil) {
				t.Fatalf("Start = %v, want an error: %v", err, test.says != nil)
			}
			for _, words := range test.says {
				if !strings.Contains(err.Error(), words) {
					t.Errorf("Start = %v, want %q in it", err, words)
				}
			}
		})
	}
}

// throughNginx starts nginx in front of the API server with settings for its upstream, and
// returns the configuration of a client. It skips the test if nginx is not installed.
func throughNginx(t *testing.T, settings string) *rest.Config {
	t.Helper()
	program, err := exec.LookPath("nginx")
	if err != nil {
		t.Skip("nginx is not installed: apt-get install nginx")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()

	dir, admin := t.TempDir(), server.Config()
	file := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	certificate, key := file("client.crt", admin.CertData), file("client.key", admin.KeyData)
	configuration := fmt.Sprintf(`daemon off; pid %[1]s/pid; error_log %[1]s/errors; worker_processes 1;
events {}
http {
	access_log off; client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi; uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
	server { listen %[2]s; location / {
		proxy_pass %[3]s; proxy_ssl_certificate %[4]s; proxy_ssl_certificate_key %[5]s; %[6]s
	} }
}`, dir, address, admin.Host, certificate, key, settings)
	if os.Geteuid() == 0 {
		configuration = "user root; " + configuration
	}
	nginx := exec.Command(program, "-e", filepath.Join(dir, "errors"), "-c", file("nginx.conf", []byte(configuration)))
	if err := nginx.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = nginx.Process.Signal(os.Interrupt)
		_ = nginx.Wait()
	})
	err = wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, 10*time.Second, true, func(ctx context.Context) (bool, error) {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return false, nil
		}
		return true, conn.Close()
	})
	if err != nil {
		t.Fatalf("nginx does not listen: %v", err)
	}
	return &rest.Config{Host: "http://" + address}
}
