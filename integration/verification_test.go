// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/executorpods/watchsource"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// Guarantee 1: a DELETED frame that a proxy loses from the stream of a real API server is
// noticed by a verification and repaired with one list (kubernetes issue 123072). Without the
// option the executor stays.
func TestLostFrameIsRepaired(t *testing.T) {
	const every = 5 * time.Second
	client := admin(t)
	for name, newConsumer := range map[string]func(*testing.T, string, *rest.Config, string, ...watchsource.Option) *consumer{
		"own watch": newConsumer, "shared watch": newSharedConsumer,
	} {
		t.Run(name, func(t *testing.T) {
			namespace := newNamespace(t, client)
			pods := create(t, client, executorPod(namespace, appID, 0), executorPod(namespace, appID, 1))
			loss := new(frameLoss)
			config := altered(speaking(server.Config(), asProtobuf), loss.roundTrip)
			blind := newConsumer(t, "without verification", config, namespace)
			w := newConsumer(t, "with verification", config, namespace, watchsource.WithVerification(every))

			loss.armed.Store(2) // one for each stream
			remove(t, client, byForce, pods[0])
			eventually(t, "the deletion is seen", func() bool {
				touchPod(t, client, pods[1]) // a verification waits for an event
				return w.store.Snapshot().Len() == 1
			})
			status := w.source.Status()
			if want := "the watch has lost an event: pod " + namespace + "/" + pods[0].Name + " is gone"; status.Err == nil || !strings.Contains(status.Err.Error(), want) || status.Relists != 1 {
				t.Errorf("%d relists, Err = %v; want 1 and %q", status.Relists, status.Err, want)
			}
			if err := w.source.Healthy(time.Minute); err != nil {
				t.Errorf("Healthy = %v, want nil", err)
			}
			w.mustAgree(t, client, "after the repair")
			if left := blind.store.Snapshot(); left.Len() != 2 || blind.source.Healthy(time.Minute) != nil {
				t.Errorf("without verification %d executors, want 2: then no frame was lost", left.Len())
			}

			// From now on nothing is lost, and no list is made.
			before := loss.verified.Load()
			eventually(t, "two more verifications", func() bool {
				touchPod(t, client, pods[1])
				return loss.verified.Load() >= before+2 && w.source.Status().LastVerification.After(status.LastVerification)
			})
			if at := blind.source.Status().LastVerification; status.LastVerification.IsZero() || !at.IsZero() {
				t.Errorf("LastVerification = %v with verification, %v without, want a time and none", status.LastVerification, at)
			}
			if again := w.source.Status(); again.Relists != 1 || again.Errors != status.Errors {
				t.Errorf("%d relists and %d errors later, want 1 and %d", again.Relists, again.Errors, status.Errors)
			}
			t.Logf("%d verifications, the last answer %s", loss.verified.Load(), loss.lastAnswer())
		})
	}
}

// A verification lists at the version of the view. kube-apiserver answers it with metadata from
// its watch cache: there are fewer reads from etcd than verifications. The server makes one by
// itself every few minutes, to check its cache.
func TestVerificationReadsNoEtcd(t *testing.T) {
	client := admin(t)
	namespace := newNamespace(t, client)
	pods := create(t, client, executorPod(namespace, appID, 0), executorPod(namespace, appID, 1))
	loss := new(frameLoss)
	w := newConsumer(t, "verified", altered(speaking(server.Config(), asProtobuf), loss.roundTrip), namespace, watchsource.WithVerification(5*time.Second))
	verifications := func(n int32) {
		eventually(t, "a verification", func() bool {
			touchPod(t, client, pods[1])
			return loss.verified.Load() >= n
		})
	}
	verifications(1)
	before := podReadsFromEtcd(t, client)
	verifications(4)
	after := podReadsFromEtcd(t, client)
	if !strings.Contains(loss.lastAnswer(), "resourceVersionMatch=Exact 200") {
		t.Errorf("the last verification was %s, want a list at an exact version", loss.lastAnswer())
	}
	if w.source.Status().Relists != 0 {
		t.Errorf("%d relists, want none", w.source.Status().Relists)
	}
	t.Logf("reads of pods from etcd: %v before, %v after three verifications", before, after)
	if before == 0 || after-before >= 3 {
		t.Errorf("%v reads of pods from etcd before three verifications and %v after them, want fewer than one for each", before, after)
	}
}

// touchPod changes a pod.
func touchPod(t *testing.T, client kubernetes.Interface, pod *corev1.Pod) {
	t.Helper()
	_, err := client.CoreV1().Pods(pod.Namespace).Patch(t.Context(), pod.Name, types.MergePatchType,
		[]byte(`{"metadata":{"annotations":{"touched":"`+strconv.FormatInt(time.Now().UnixNano(), 10)+`"}}}`), metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

// eventually calls cond every half second until it is true.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !cond(); time.Sleep(500 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

var etcdReads = regexp.MustCompile(`(?m)^etcd_requests_total\{[^}]*operation="(?:list\w*|getCurrentResourceVersion)",resource="pods"\} (\S+)$`)

// podReadsFromEtcd returns how often the API server has asked etcd for pods, or for the version
// of their newest state.
func podReadsFromEtcd(t *testing.T, client kubernetes.Interface) float64 {
	t.Helper()
	metrics, err := client.CoreV1().RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var total float64
	for _, found := range etcdReads.FindAllSubmatch(metrics, -1) {
		n, err := strconv.ParseFloat(string(found[1]), 64)
		if err != nil {
			t.Fatal(err)
		}
		total += n
	}
	return total
}

// A frameLoss loses DELETED frames of watches, and counts the answers to verifications.
type frameLoss struct {
	armed    atomic.Int32 // frames to lose
	verified atomic.Int32 // answers with 200

	mu   sync.Mutex
	last string // the last verification and its answer
}

func (l *frameLoss) lastAnswer() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

func (l *frameLoss) roundTrip(next http.RoundTripper, request *http.Request) (*http.Response, error) {
	response, err := next.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	switch query := request.URL.Query(); {
	case query.Has("watch") && response.StatusCode == http.StatusOK:
		response.Body = &losingBody{ReadCloser: response.Body, in: bufio.NewReader(response.Body), loss: l}
	case strings.Contains(request.Header.Get("Accept"), "PartialObjectMetadataList"):
		l.mu.Lock()
		l.last = "resourceVersionMatch=" + query.Get("resourceVersionMatch") + " " + response.Status + " " + response.Header.Get("Content-Type")
		l.mu.Unlock()
		if response.StatusCode == http.StatusOK {
			l.verified.Add(1)
		}
	}
	return response, nil
}

// losingBody is the body of a watch in protobuf: frames after their lengths.
type losingBody struct {
	io.ReadCloser
	in    *bufio.Reader
	loss  *frameLoss
	frame []byte // the rest of the current one
}

func (b *losingBody) Read(p []byte) (int, error) {
	for len(b.frame) == 0 {
		head := make([]byte, 4)
		if _, err := io.ReadFull(b.in, head); err != nil {
			return 0, err
		}
		body := make([]byte, binary.BigEndian.Uint32(head))
		if _, err := io.ReadFull(b.in, body); err != nil {
			return 0, err
		}
		// The frame begins with the type of the event (metav1.WatchEvent, field 1).
		if !bytes.Contains(body[:min(len(body), 16)], []byte("DELETED")) || b.loss.armed.Add(-1) < 0 {
			b.frame = append(head, body...)
		}
	}
	n := copy(p, b.frame)
	b.frame = b.frame[n:]
	return n, nil
}
