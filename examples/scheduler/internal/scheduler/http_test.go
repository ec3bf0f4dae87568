// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/executorpods/watchsource/watchtest"
)

// The scheduler is healthy while its watch is, also after the watch was cut, and not when no
// watch opens any more.
func TestHealthz(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFixture(t, 1)
		handler := newHandler(s.source, nil)
		requireHealth := func(when string, want int) {
			t.Helper()
			response := httptest.NewRecorder()
			handler.ServeHTTP(response, httptest.NewRequest("GET", "/healthz", nil))
			if response.Code != want {
				t.Errorf("%s: /healthz answers %d %q, want %d", when, response.Code, response.Body, want)
			}
		}
		requireHealth("while watching", http.StatusOK)
		s.server.Strike(watchtest.Cut())
		s.wait(time.Minute)
		requireHealth("after the watch was cut", http.StatusOK)
		s.server.Inject(watchtest.Fault{Do: watchtest.Refuse()})
		s.server.Strike(watchtest.Cut())
		s.wait(2 * time.Minute)
		requireHealth("two minutes without a watch", http.StatusOK)
		s.wait(2 * time.Minute)
		requireHealth("four minutes without a watch", http.StatusServiceUnavailable)
		s.source.Stop()
		requireHealth("after Stop", http.StatusServiceUnavailable)
	})
}

func TestServeHTTP(t *testing.T) {
	b := clusterManager{client: watchtest.NewServer().Client(), report: newReport(io.Discard)}.createBackend()
	if _, err := serveHTTP("256.0.0.1:1", newHandler(b.source, nil)); err == nil || !strings.Contains(err.Error(), "see -http") {
		t.Errorf("an invalid address: error %v, want one that names -http", err)
	}
	stop, err := serveHTTP("127.0.0.1:0", newHandler(b.source, nil))
	if err != nil {
		t.Fatal(err)
	}
	stop()
}
