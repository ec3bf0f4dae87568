// SPDX-License-Identifier: Apache-2.0

package podclient

import (
	"errors"
	"io"
	"net/http"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
	clienttesting "k8s.io/client-go/testing"

	"github.com/executorpods/watchsource/internal/failure"
)

type brokenTransport struct{}

func (brokenTransport) RoundTrip(*http.Request) (*http.Response, error) { return nil, io.EOF }

// If a connection was closed before the answer, client-go returns a watch without events and no
// error. That is an error, but from a fake.
func TestEmptyWatch(t *testing.T) {
	config := rest.Config{Host: "http://server.invalid", Transport: brokenTransport{}, ContentConfig: rest.ContentConfig{ContentType: "application/json"}}
	client, err := kubernetes.NewForConfig(&config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{Client: client}).Watch(t.Context(), metav1.ListOptions{}); !errors.Is(err, failure.ErrHungUp) {
		t.Errorf("the error %v of a connection that was closed, want %v", err, failure.ErrHungUp)
	}
	empty := fake.NewClientset()
	empty.PrependWatchReactor("pods", func(clienttesting.Action) (bool, watch.Interface, error) { return true, watch.NewEmptyWatch(), nil })
	events, err := New(Config{Client: empty}).Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer events.Close()
	if _, err := events.Next(); err != io.EOF {
		t.Errorf("the end %v of a fake's watch, want %v", err, io.EOF)
	}
}
