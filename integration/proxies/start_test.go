// SPDX-License-Identifier: Apache-2.0

package proxies

import (
	"strings"
	"testing"
	"time"

	"github.com/executorpods/watchsource"
	"k8s.io/client-go/kubernetes"
)

// By default nginx before 1.29.7 speaks HTTP/1.0 to its upstream. It then passes lists and no
// watches, and Start says so.
func TestStartThroughNginx(t *testing.T) {
	t.Log(nginx.mustBeInstalled(t))
	s := newScene(t, idle, quiet)
	for _, test := range []struct {
		name     string
		settings string
		says     []string // the error of Start, none if it succeeds
	}{
		{name: "HTTP/1.0", settings: "proxy_http_version 1.0;", says: []string{"lists are answered and watches are not", "proxy_http_version 1.1", "proxy_buffering off"}},
		{name: "HTTP/1.1", settings: "proxy_http_version 1.1; proxy_buffering off; proxy_read_timeout 3600s;"},
	} {
		for _, http2 := range []bool{false, true} {
			t.Run(test.name+" "+protocol(http2), func(t *testing.T) {
				t.Parallel()
				l := &listener{http2: http2, settings: test.settings}
				config := nginx.start(t, s.upstream, []*listener{l}).through(l, s.config)
				client, err := kubernetes.NewForConfig((&wire{}).tap(t, config))
				if err != nil {
					t.Fatal(err)
				}
				source := watchsource.NewWatchSnapshotSource(watchsource.NewStore(), client,
					watchsource.WithNamespace(s.namespace), watchsource.WithStartTimeout(4*time.Second))
				t.Cleanup(source.Stop)
				err = source.Start(appID)
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
}
