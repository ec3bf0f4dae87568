// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"
)

// maxSilence is how long the watch may bring nothing before the scheduler is unhealthy.
const maxSilence = 3 * time.Minute

// serveHTTP serves until the returned function is called.
func serveHTTP(address string, handler http.Handler) (stop func(), err error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("serve /healthz, see -http: %w", err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener) // returns when stop is called
	}()
	return func() {
		_ = server.Shutdown(context.Background())
		<-served
	}, nil
}

// watch is a source, or a watch that several sources share.
type watch interface {
	Healthy(maxSilence time.Duration) error
}

// newHandler answers /healthz, for a liveness probe, with 200, or with 503 and the reason. It
// answers /metrics too, unless metrics is nil.
func newHandler(watch watch, metrics http.Handler) http.Handler {
	mux := http.NewServeMux()
	if metrics != nil {
		mux.Handle("GET /metrics", metrics)
	}
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if err := watch.Healthy(maxSilence); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	return mux
}
