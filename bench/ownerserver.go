// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/sleep"
)

// jobsPath is where the owners are.
const jobsPath = "/apis/batch/v1/namespaces/" + namespace + "/jobs/"

// An ownerServer is an API server for one operator. It knows the pods of an ownerScript, which it
// sends as a streaming list, and takes patches of the status of owners. It holds the events back
// until release is called.
type ownerServer struct {
	// Fixed after newOwnerServer.
	script   *ownerScript
	interval time.Duration // from one event to the next, 0 for as fast as the operator reads
	released chan struct{} // closed when the events may begin
	begin    func()        // closes released

	mu       sync.Mutex
	received ownerRequests
}

// ownerRequests are what an operator asked for, and when the server sent it the last events, in
// Unix time in nanoseconds.
type ownerRequests struct {
	requests
	Patches     int   `json:"patches"`     // of a status, since release was called
	LastOfFirst int64 `json:"lastOfFirst"` // the last event of the first owner
	Second      int64 `json:"second"`      // the event of the second owner
}

// newOwnerServer returns a server that sends so many events a second, or sends them as fast as
// the operator reads if rate is 0.
func newOwnerServer(script *ownerScript, rate int) *ownerServer {
	s := &ownerServer{script: script, released: make(chan struct{})}
	s.begin = sync.OnceFunc(func() { close(s.released) })
	if rate > 0 {
		s.interval = time.Second / time.Duration(rate)
	}
	return s
}

func (s *ownerServer) release() { s.begin() }

func (s *ownerServer) isReleased() bool {
	select {
	case <-s.released:
		return true
	default:
		return false
	}
}

// seen returns the requests so far.
func (s *ownerServer) seen() any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.received
}

func (s *ownerServer) note(change func(*ownerRequests)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.received)
}

func (s *ownerServer) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	var err error
	owner, isOwner := strings.CutPrefix(request.URL.Path, jobsPath)
	switch {
	case request.Method == http.MethodGet && request.URL.Path == podsPath:
		err = s.servePods(w, request)
	case request.Method == http.MethodPatch && isOwner && strings.HasSuffix(owner, "/status"):
		err = s.patch(w, request, strings.TrimSuffix(owner, "/status"))
	default:
		http.NotFound(w, request)
		err = fmt.Errorf("%s %s: not served", request.Method, request.URL.Path)
	}
	if err != nil && request.Context().Err() == nil {
		log.Printf("server of owners: %v", err)
	}
}

// servePods answers a streaming list of all workers. It refuses lists, and watches from a version:
// an operator that needs them is measured at something else.
func (s *ownerServer) servePods(w http.ResponseWriter, request *http.Request) error {
	query := request.URL.Query()
	watching, _ := strconv.ParseBool(query.Get("watch"))
	initial, _ := strconv.ParseBool(query.Get("sendInitialEvents"))
	if err := selectsWorkers(query.Get("labelSelector")); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return err
	}
	s.note(func(r *ownerRequests) {
		switch {
		case !watching:
			r.Lists++
		case initial:
			r.StreamingLists++
		default:
			r.Watches++
		}
	})
	if !watching || !initial {
		http.Error(w, "only a streaming list is served", http.StatusGone)
		return fmt.Errorf("the query %q asks for something else than a streaming list", request.URL.RawQuery)
	}
	w.Header().Set("Content-Type", protobufMedia+";stream=watch")
	out := newChunks(w)
	for i := range s.script.running() {
		out.buffer = s.script.appendRunning(out.buffer, i)
		out.spill()
	}
	out.buffer = append(out.buffer, protobufFrame(watch.Bookmark, initialEnd(s.script.listVersion()))...)
	if err := out.flush(); err != nil {
		return err
	}
	if !wait(request.Context(), s.released) {
		return nil
	}
	return s.serveEvents(request.Context(), out)
}

// selectsWorkers returns an error if a label selector does not select the workers.
func selectsWorkers(selector string) error {
	parsed, err := labels.Parse(selector)
	if err != nil {
		return err
	}
	if worker := (labels.Set{watchsource.LabelApp: firstOwner, watchsource.LabelRole: watchsource.RoleExecutor}); !parsed.Matches(worker) {
		return fmt.Errorf("the label selector %q does not select the workers", selector)
	}
	return nil
}

// serveEvents sends the events of both owners, and keeps the stream open until the operator goes.
// It flushes each event, as kube-apiserver does when its channel is empty.
func (s *ownerServer) serveEvents(ctx context.Context, out *chunks) error {
	began := time.Now()
	for j := range s.script.events() {
		if !sleep.For(ctx, time.Until(began.Add(time.Duration(j)*s.interval))) {
			return nil
		}
		out.buffer = s.script.appendEvent(out.buffer, j)
		if err := out.flush(); err != nil {
			return err
		}
	}
	s.note(func(r *ownerRequests) { r.LastOfFirst = time.Now().UnixNano() })
	out.buffer = s.script.appendLast(out.buffer)
	s.note(func(r *ownerRequests) { r.Second = time.Now().UnixNano() })
	if err := out.flush(); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// patch answers a merge patch of the status of an owner with the owner in its new state.
func (s *ownerServer) patch(w http.ResponseWriter, request *http.Request, owner string) error {
	job := &batchv1.Job{
		TypeMeta:   metav1.TypeMeta{APIVersion: batchv1.SchemeGroupVersion.String(), Kind: "Job"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: owner},
	}
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, job); err != nil {
		http.Error(w, "the patch is no JSON", http.StatusBadRequest)
		return fmt.Errorf("patch of %s: %w", owner, err)
	}
	s.note(func(r *ownerRequests) {
		if s.isReleased() {
			r.Patches++
		}
	})
	w.Header().Set("Content-Type", protobufMedia)
	_, err = w.Write(encode(job))
	return err
}
