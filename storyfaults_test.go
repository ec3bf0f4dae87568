// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/executorpods/watchsource/watchtest"
)

// strike applies an effect to the open streams.
func (s *stage) strike(args *arguments) ([]string, error) {
	effect := args.effect()
	if args.err == nil {
		s.server.Strike(effect)
	}
	return nil, args.err
}

// storyVerbs are the requests that a fault can select.
var storyVerbs = map[string]watchtest.Verb{
	"list": watchtest.List, "streaming-list": watchtest.StreamingList, "watch": watchtest.Watch,
}

// inject applies an effect to the next requests.
func (s *stage) inject(args *arguments) ([]string, error) {
	fault := watchtest.Fault{
		Times: args.optionalNumber("times"), Skip: args.optionalNumber("skip"), After: args.optionalNumber("after"),
	}
	if verbs, ok := args.option("on"); ok {
		for name := range strings.SplitSeq(verbs, ",") {
			if storyVerbs[name] == 0 {
				return nil, fmt.Errorf("unknown verb %q", name)
			}
			fault.On |= storyVerbs[name]
		}
	}
	if err := s.readFrom(args, &fault); err != nil {
		return nil, err
	}
	name, _ := args.option("as")
	fault.Do = args.effect()
	if args.err == nil {
		s.faults = append(s.faults, namedFault{name: name, lift: s.server.Inject(fault)})
	}
	return nil, args.err
}

// readFrom reads the option from=held, which selects the requests from the version that the source
// holds now.
func (s *stage) readFrom(args *arguments, fault *watchtest.Fault) error {
	from, ok := args.option("from")
	switch {
	case !ok:
		return nil
	case from != "held":
		return fmt.Errorf("from=%s, want from=held", from)
	case s.source == nil:
		return errNotStarted
	}
	held := s.source.Status().ResourceVersion
	fault.If = func(r watchtest.Request) bool { return r.Options.ResourceVersion == held }
	return nil
}

// lift ends the faults of a name, or all of them.
func (s *stage) lift(args *arguments) ([]string, error) {
	names := args.rest()
	var left []namedFault
	for _, fault := range s.faults {
		if len(names) == 0 || len(names) == 1 && names[0] == fault.name {
			fault.lift()
		} else {
			left = append(left, fault)
		}
	}
	if len(left) == len(s.faults) {
		return nil, errors.New("there is no such fault")
	}
	s.faults = left
	return nil, nil
}

// plainEffects are the effects without parameters.
var plainEffects = map[string]func() watchtest.Effect{
	"cut":                     watchtest.Cut,
	"reset":                   watchtest.Reset,
	"tear":                    watchtest.Tear,
	"refuse":                  watchtest.Refuse,
	"close":                   func() watchtest.Effect { return watchtest.Break(io.EOF) },
	"hang":                    watchtest.Hang,
	"silence":                 watchtest.Silence,
	"malform":                 watchtest.Malform,
	"omit-bookmarks":          watchtest.OmitBookmarks,
	"omit-initial-events-end": watchtest.OmitInitialEventsEnd,
	"hold-headers":            watchtest.HoldHeaders,
}

// parameterEffects are the effects with parameters.
var parameterEffects map[string]func(*arguments) watchtest.Effect

func init() { // idle and limit contain another effect
	parameterEffects = map[string]func(*arguments) watchtest.Effect{
		"answer":     func(a *arguments) watchtest.Effect { return watchtest.Answer(a.refusal()) },
		"send-error": func(a *arguments) watchtest.Effect { return watchtest.SendError(a.refusal()) },
		"send-raw":   func(a *arguments) watchtest.Effect { return watchtest.SendRaw([]byte(a.word("text"))) },
		"delay":      func(a *arguments) watchtest.Effect { return watchtest.Delay(a.time("duration")) },
		"lose":       func(a *arguments) watchtest.Effect { return watchtest.Lose(a.number("events")) },
		"slow": func(a *arguments) watchtest.Effect {
			size := a.number("bytes")
			return watchtest.Slow(size, a.time("pause"))
		},
		"idle": func(a *arguments) watchtest.Effect {
			age := a.time("duration")
			return watchtest.Idle(age, a.effect())
		},
		"limit": func(a *arguments) watchtest.Effect {
			age := a.time("duration")
			return watchtest.Limit(age, a.effect())
		},
	}
}

// effect reads an effect of watchtest with its parameters.
func (a *arguments) effect() watchtest.Effect {
	name := a.word("effect")
	if plain, ok := plainEffects[name]; ok {
		return plain()
	}
	if effect, ok := parameterEffects[name]; ok {
		return effect(a)
	}
	a.fail(fmt.Errorf("unknown effect %q", name))
	return watchtest.Cut()
}

// refusals are the errors of a server by their HTTP status.
var refusals = map[string]func() *apierrors.StatusError{
	"400": func() *apierrors.StatusError { return apierrors.NewBadRequest("resourceVersion too old") },
	"401": func() *apierrors.StatusError { return apierrors.NewUnauthorized("who are you") },
	"403": func() *apierrors.StatusError {
		return apierrors.NewForbidden(podsResource.GroupResource(), "", errors.New("RBAC"))
	},
	"410": func() *apierrors.StatusError { return apierrors.NewResourceExpired("too old resource version") },
	"422": func() *apierrors.StatusError {
		return apierrors.NewInvalid(corev1.SchemeGroupVersion.WithKind("Pod").GroupKind(), "", nil)
	},
	"429": func() *apierrors.StatusError { return apierrors.NewTooManyRequests("come back later", 0) },
	"500": func() *apierrors.StatusError { return apierrors.NewInternalError(errors.New("etcd has a cold")) },
	"503": func() *apierrors.StatusError { return apierrors.NewServiceUnavailable("starting") },
	"504": tooLarge,
}

// refusal reads the status of an answer.
func (a *arguments) refusal() *apierrors.StatusError {
	code := a.word("status")
	refuse, ok := refusals[code]
	if !ok {
		a.fail(fmt.Errorf("unknown status %q", code))
		return expired
	}
	refusal := refuse()
	if after, ok := a.duration("retry-after"); ok {
		if refusal.ErrStatus.Details == nil {
			refusal.ErrStatus.Details = &metav1.StatusDetails{}
		}
		refusal.ErrStatus.Details.RetryAfterSeconds = int32(after / time.Second)
	}
	return refusal
}
