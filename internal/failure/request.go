// SPDX-License-Identifier: Apache-2.0

package failure

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A RequestError is the failure of one request to the API server. Its text names the
// request, then the cause, then the remedy. The cause stays reachable through Unwrap, so
// that apierrors.IsForbidden and similar functions recognise it.
type RequestError struct {
	Kind Kind
	// Namespace is empty for all namespaces.
	Namespace string
	// Listed is set if the server has answered a list just before this watch.
	Listed bool
	Err    error
}

// A Kind is the kind of a request.
type Kind int

const (
	// ListPods is a list of pods, or one page of it.
	ListPods Kind = iota
	WatchPods
	// CheckVersion is the list of one name that returns the server's version.
	CheckVersion
	// ListMetadata is the list with which a verification compares.
	ListMetadata
)

func (e *RequestError) Error() string {
	text := e.request() + ": " + e.Cause()
	if hint := e.Hint(); hint != "" {
		text += "; " + hint
	}
	return text
}

func (e *RequestError) Unwrap() error { return e.Err }

// Cause returns the part of the text between the request and the remedy, on one line.
func (e *RequestError) Cause() string { return cause(e.Err) }

// Hint returns the remedy, "" if the cause says all.
func (e *RequestError) Hint() string { return hint(e.Err, e.Namespace, e.Listed) }

func (e *RequestError) request() string {
	switch e.Kind {
	case WatchPods:
		return "watch pods in " + where(e.Namespace)
	case CheckVersion:
		return "ask for the version in " + where(e.Namespace)
	case ListMetadata:
		return "list the metadata of pods in " + where(e.Namespace)
	default:
		return "list pods in " + where(e.Namespace)
	}
}

// IsVersionCheck reports whether a check of the server's version has failed.
func IsVersionCheck(err error) bool {
	failed, ok := errors.AsType[*RequestError](err)
	return ok && failed.Kind == CheckVersion
}

// MayConcernVersion reports whether the API server has refused a request for a
// reason that may be its resource version.
func MayConcernVersion(err error) bool {
	if IsVersionCheck(err) {
		return false // it has none
	}
	if apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge) {
		return true // although it asks to come later
	}
	return Answered(err) && !AsksToWait(err) && !LacksRights(err)
}

// Trouble names the trouble that an error shows. Two troubles have different names if an operator
// would call them different. An API server without its store answers checks in several ways, and
// a gateway answers in place of an API server that does not.
func Trouble(err error) string {
	if ByGateway(err) || IsVersionCheck(err) && !AsksToWait(err) && !LacksRights(err) {
		return "NoAnswer"
	}
	if reason := apierrors.ReasonForError(err); reason != metav1.StatusReasonUnknown {
		return string(reason)
	}
	return "NoAnswer"
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
		code := StatusCode(err)
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
