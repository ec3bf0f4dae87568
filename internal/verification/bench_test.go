// SPDX-License-Identifier: Apache-2.0

package verification

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"github.com/executorpods/watchsource/internal/podclient"
	"github.com/executorpods/watchsource/internal/podlist"
	"github.com/executorpods/watchsource/internal/podwatch"
	"github.com/executorpods/watchsource/internal/test/podtest"
)

// The cost of a verification to the client, next to that of a list of the same pods: the bytes
// of the answers, and the CPU that reads and compares them.
//
//	go test -run - -bench Verification -benchtime 20x ./internal/verification
func BenchmarkVerification(b *testing.B) {
	const pods = 10_000
	server := newPages(b, pods)
	client, err := kubernetes.NewForConfig(&rest.Config{Host: "http://pages.invalid", Transport: server, QPS: -1, ContentConfig: rest.ContentConfig{ContentType: runtime.ContentTypeProtobuf}})
	if err != nil {
		b.Fatal(err)
	}
	reads := podclient.New(podclient.Config{Client: client})
	lister := podlist.New(podlist.Config{Client: reads, Shard: new(podwatch.Shard)})
	verifier := New(Config{Client: reads, Logger: logr.Discard(), Every: 1})
	view, err := lister.Plain(context.Background(), "")
	if err != nil || len(view.Pods) != pods {
		b.Fatalf("%d pods, %v", len(view.Pods), err)
	}
	verifier.Listed(view.Pods, view.ResourceVersion)
	run := func(name string, work func() error) {
		b.Run(name, func(b *testing.B) {
			server.sent = 0
			b.ReportAllocs()
			for b.Loop() {
				if err := work(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(server.sent)/float64(b.N), "wire-B/op")
		})
	}
	run("list", func() error {
		_, err := lister.Plain(context.Background(), "")
		return err
	})
	run("verification", func() error {
		version := verifier.ledger.begin()
		defer verifier.ledger.end()
		listed, err := verifier.list(context.Background(), version, true)
		if err != nil {
			return err
		}
		if changes := verifier.ledger.compare(listed.pods); len(changes) > 0 {
			return lostEvents(changes)
		}
		return nil
	})
}

// pages is the transport of a server with lists in pages that are encoded before.
type pages struct {
	whole, metadata [][]byte
	sent            int
}

func newPages(b *testing.B, pods int) *pages {
	info, _ := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), runtime.ContentTypeProtobuf)
	encode := func(object runtime.Object) []byte {
		var out bytes.Buffer
		if err := info.Serializer.Encode(object, &out); err != nil {
			b.Fatal(err)
		}
		return out.Bytes()
	}
	p := new(pages)
	for first := 0; first < pods; first += verifyPageSize {
		list := &corev1.PodList{TypeMeta: metav1.TypeMeta{Kind: "PodList", APIVersion: "v1"}}
		metadata := &metav1.PartialObjectMetadataList{TypeMeta: metav1.TypeMeta{Kind: "PartialObjectMetadataList", APIVersion: "meta.k8s.io/v1"}}
		list.ResourceVersion, metadata.ResourceVersion = "1000000", "1000000"
		if first+verifyPageSize < pods {
			list.Continue = fmt.Sprint(first/verifyPageSize + 1)
			metadata.Continue = list.Continue
		}
		for i := range verifyPageSize {
			pod := podtest.Executor(first+i, 1, true)
			list.Items = append(list.Items, *pod)
			metadata.Items = append(metadata.Items, metav1.PartialObjectMetadata{ObjectMeta: pod.ObjectMeta})
		}
		p.whole = append(p.whole, encode(list))
		p.metadata = append(p.metadata, encode(metadata))
	}
	return p
}

func (p *pages) RoundTrip(r *http.Request) (*http.Response, error) {
	answers, page := p.whole, 0
	if bytes.Contains([]byte(r.Header.Get("Accept")), []byte("PartialObjectMetadataList")) {
		answers = p.metadata
	}
	if token := r.URL.Query().Get("continue"); token != "" {
		if _, err := fmt.Sscan(token, &page); err != nil {
			return nil, err
		}
	}
	body := answers[page]
	p.sent += len(body)
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/2.0", ProtoMajor: 2,
		Header: http.Header{"Content-Type": {runtime.ContentTypeProtobuf}}, ContentLength: int64(len(body)),
		Body: io.NopCloser(bytes.NewReader(body)), Request: r,
	}, nil
}
