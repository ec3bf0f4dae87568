// SPDX-License-Identifier: Apache-2.0

package listwatch

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// A requestError is the failure of one request to the API server. Its text names the
// request, then the cause, then the remedy. The cause stays reachable through Unwrap, so
// that apierrors.IsForbidden and similar functions recognise it.
type requestError struct {
	kind      requestKind
	namespace string // empty for all
	listed    bool   // the server has answered a list just before this watch
	err       error
}

type requestKind int

const (
	listRequest requestKind = iota
	watchRequest
	versionRequest  // the list of one name that returns the server's version
	metadataRequest // the list with which a verification compares
)

func (e *requestError) Error() string {
	text := fmt.Sprintf("%s: %s", e.request(), cause(e.err))
	if hint := e.hint(); hint != "" {
		text += "; " + hint
	}
	return text
}

func (e *requestError) Unwrap() error { return e.err }

func (e *requestError) request() string {
	switch e.kind {
	case watchRequest:
		return "watch pods in " + e.where()
	case versionRequest:
		return "ask for the version in " + e.where()
	case metadataRequest:
		return "list the metadata of pods in " + e.where()
	default:
		return "list pods in " + e.where()
	}
}

func (e *requestError) where() string {
	if e.namespace == metav1.NamespaceAll {
		return "all namespaces"
	}
	return fmt.Sprintf("namespace %q", e.namespace)
}

// cause returns the text of an error on one line, without the URL of the request.
func cause(err error) string {
	if mediaType, ok := foreignType(err); ok {
		return fmt.Sprintf("%v: %s instead of pods", ErrNotUnderstood, mediaType)
	}
	if message, ok := statusMessage(err); ok {
		return oneLine(message)
	}
	if body, ok := foreignBody(err); ok {
		code := statusCode(err)
		text := strings.TrimSpace(fmt.Sprintf("%d %s", code, http.StatusText(code)))
		if excerpt := excerptOf(body); excerpt != "" && excerpt != text {
			text += fmt.Sprintf(" (%q)", excerpt)
		}
		return text
	}
	return oneLine(withoutURL(err))
}

// requestURL matches what client-go writes around the URL of a request.
var requestURL = regexp.MustCompile(`\b[A-Z][a-z]+ "[a-z][a-z0-9+.-]*://[^"]*": |\bfor request [a-z]+://\S+ | while accessing [a-z]+://[^\s?]*\?[^\s:]*`)

// withoutURL returns the text of an error without the method and the URL of the request.
func withoutURL(err error) string {
	text := err.Error()
	for next := err; ; {
		failed, ok := errors.AsType[*url.Error](next)
		if !ok || failed.Err == nil {
			return requestURL.ReplaceAllString(text, "")
		}
		text = strings.ReplaceAll(text, failed.Error(), failed.Err.Error())
		next = failed.Err
	}
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// foreignType returns the media type of an answer that client-go has no decoder for.
func foreignType(err error) (mediaType string, ok bool) {
	if failed, ok := errors.AsType[runtime.NegotiateError](err); ok {
		return failed.ContentType, true
	}
	_, after, found := strings.Cut(err.Error(), "serializer for ") // rest.Result
	mediaType, found2 := strings.CutSuffix(after, " doesn't exist")
	return mediaType, found && found2
}

// foreignBody returns the body of a refusal that has no Status. An API server sends one with
// nearly all of its refusals, a proxy or gateway does not.
func foreignBody(err error) (body string, ok bool) {
	if _, own := statusMessage(err); own {
		return "", false
	}
	return unexpectedBody(err)
}

// unexpectedBody returns the body of a refusal that client-go did not understand.
func unexpectedBody(err error) (body string, ok bool) {
	if !apierrors.IsUnexpectedServerError(err) {
		return "", false
	}
	status, _ := statusOf(err)
	for _, c := range status.Details.Causes {
		if c.Type == metav1.CauseTypeUnexpectedServerResponse {
			body = c.Message
		}
	}
	return body, true
}

// statusMessage returns the message of a Status that client-go did not understand. If
// kube-apiserver cannot finish a request in time it sends one without its kind.
func statusMessage(err error) (message string, ok bool) {
	body, ok := unexpectedBody(err)
	var status metav1.Status
	if !ok || json.Unmarshal([]byte(body), &status) != nil || status.Status != metav1.StatusFailure {
		return "", false
	}
	return status.Message, status.Message != ""
}

var (
	pageTitle  = regexp.MustCompile(`(?is)<title[^>]*>(.*?)</title>`)
	pageMarkup = regexp.MustCompile(`(?is)<(script|style)\b.*?(</(script|style)>|$)|<[^>]*(>|$)`)
)

// maxExcerpt is the length of the part of a foreign answer that an error shows.
const maxExcerpt = 80

// excerptOf returns the title of a page, or the beginning of a text. client-go writes
// "unknown" for a body that is not text.
func excerptOf(body string) string {
	if title := pageTitle.FindStringSubmatch(body); title != nil {
		body = title[1]
	}
	text := oneLine(pageMarkup.ReplaceAllString(body, " "))
	if text == "unknown" {
		return ""
	}
	if runes := []rune(text); len(runes) > maxExcerpt {
		return string(runes[:maxExcerpt]) + "..."
	}
	return text
}
