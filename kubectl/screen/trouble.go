// SPDX-License-Identifier: Apache-2.0

package screen

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/failure"
	"github.com/executorpods/watchsource/kubectl/application"
	"k8s.io/apimachinery/pkg/util/duration"
)

// A trouble is why the view may be out of date, and what to do about it.
type trouble struct{ cause, remedy string }

func (t trouble) String() string {
	if t.remedy == "" {
		return t.cause
	}
	return t.cause + "; " + t.remedy
}

// trouble returns why the view may be out of date. The model must be blind.
func (m *model) trouble() trouble {
	switch {
	case m.retrying():
		return troubleOf(m.status.Err)
	case m.status.Phase == watchsource.Stopped:
		return trouble{cause: withoutPrefix(m.blind.Error())}
	default:
		return trouble{
			cause:  "nothing heard from the API server for " + duration.HumanDuration(m.now.Sub(m.heard())),
			remedy: "check the network, and whether a proxy or firewall drops quiet connections",
		}
	}
}

// retrying reports whether the last error is the reason why the model is blind.
func (m *model) retrying() bool {
	return m.status.Phase == watchsource.Retrying && m.status.Err != nil
}

// heard returns the time of the last contact, or of the start.
func (m *model) heard() time.Time {
	if m.status.LastContact.IsZero() {
		return m.status.Since
	}
	return m.status.LastContact
}

// troubleOf returns the cause of an error without the request that has failed, with which the text
// of the error begins.
func troubleOf(err error) trouble {
	request, ok := errors.AsType[*failure.RequestError](err)
	if !ok {
		request = &failure.RequestError{Err: err}
	}
	cause := networkCause(err)
	switch {
	case cause != "":
	case !ok && failure.ConnectionBroke(err):
		cause = "the connection broke: " + innermost(err).Error()
	default:
		cause = withoutPrefix(request.Cause())
	}
	return trouble{application.Printable(cause), application.Printable(request.Hint())}
}

// networkCause returns the cause of a failure in the network before the address, "" for another
// failure.
func networkCause(err error) string {
	if lookup, ok := errors.AsType[*net.DNSError](err); ok {
		return lookup.Err + ": " + lookup.Name
	}
	if refused, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return refused.Err.Error()
	}
	failed, ok := errors.AsType[*net.OpError](err)
	if !ok || failed.Err == nil {
		return ""
	}
	cause, address := innermost(failed).Error(), failed.Addr
	if inner, ok := errors.AsType[*net.OpError](failed.Err); ok {
		address = inner.Addr
	}
	switch {
	case address == nil:
		return cause
	case failed.Op == "proxyconnect":
		return fmt.Sprintf("%s (proxy %s)", cause, address)
	default:
		return fmt.Sprintf("%s (%s)", cause, address)
	}
}

// innermost returns the error that has no other in it.
func innermost(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

func withoutPrefix(text string) string { return strings.TrimPrefix(text, "watchsource: ") }
