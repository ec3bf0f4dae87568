// SPDX-License-Identifier: Apache-2.0

package podclient

import (
	"net/http"
	"net/http/httptest"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/executorpods/watchsource/internal/failure"
)

// An answer to a list that has no pods is the error that client-go makes of it.
func TestAnswersWithoutPods(t *testing.T) {
	refusal := func(code int32) *metav1.Status {
		return &metav1.Status{Status: metav1.StatusFailure, Code: code, Reason: metav1.StatusReasonForbidden, Message: "no rights"}
	}
	const protobuf, json, html = runtime.ContentTypeProtobuf, runtime.ContentTypeJSON, "text/html; charset=utf-8"
	for name, answer := range map[string]struct {
		code      int
		mediaType string
		body      []byte
	}{
		"a refusal in protobuf":             {http.StatusForbidden, protobuf, encoded(t, protobuf, refusal(http.StatusForbidden))},
		"a refusal in JSON":                 {http.StatusForbidden, json, encoded(t, json, refusal(http.StatusForbidden))},
		"a refusal with the code 200":       {http.StatusOK, protobuf, encoded(t, protobuf, refusal(http.StatusForbidden))},
		"the same in JSON":                  {http.StatusOK, json, encoded(t, json, refusal(http.StatusForbidden))},
		"a page":                            {http.StatusOK, html, []byte("<html><title>Sign in</title></html>")},
		"a page with an error code":         {http.StatusBadGateway, html, []byte("<html><title>Bad Gateway</title></html>")},
		"a media type that cannot be read":  {http.StatusOK, "a/b/c", nil},
		"a page with the type of the pods":  {http.StatusOK, protobuf, []byte("<html></html>")},
		"nothing, with the code 500":        {http.StatusInternalServerError, protobuf, nil},
		"a refusal whose body is cut short": {http.StatusForbidden, protobuf, encoded(t, protobuf, refusal(http.StatusForbidden))[:9]},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", answer.mediaType)
				w.WriteHeader(answer.code)
				w.Write(answer.body)
			}))
			t.Cleanup(server.Close)
			client, err := kubernetes.NewForConfig(&rest.Config{Host: server.URL})
			if err != nil {
				t.Fatal(err)
			}
			_, want := client.CoreV1().Pods("jobs").List(t.Context(), metav1.ListOptions{})
			_, got := New(Config{Client: client, Namespace: "jobs"}).List(t.Context(), metav1.ListOptions{})
			if want == nil || got == nil || got.Error() != want.Error() || failure.StatusCode(got) != failure.StatusCode(want) {
				t.Errorf("the error %v, want that of client-go: %v", got, want)
			}
		})
	}
}
