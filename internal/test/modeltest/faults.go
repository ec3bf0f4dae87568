// SPDX-License-Identifier: Apache-2.0

package modeltest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/executorpods/watchsource/watchtest"
)

// faults injects random faults into a server.
type faults struct {
	*history
	json          bool
	transportOnly bool

	lifts       []func() // remove the faults that may still be active
	maybeSilent bool     // a stream may be open that stays silent for long
	olderStates int      // events sent whose pod is older than in an event before
}

// namedEffect is an effect with a name for the trace.
type namedEffect struct {
	watchtest.Effect
	name string
}

// strikeStreams advances the version, compacts the history, or applies an effect to the
// open streams.
func (f *faults) strikeStreams() {
	if n := f.random.IntN(8); n == 0 {
		f.trace.add("the version advances without a change of pods")
		f.server.Advance(1 + f.random.IntN(20))
		return
	} else if n < 3 && !f.transportOnly {
		f.trace.add("the history is compacted")
		f.server.Compact()
		return
	}
	e, kept := f.effect(true), f.random.IntN(2) == 0
	f.trace.add("open streams: %s", e.name)
	if lift := f.server.Strike(e.Effect); kept {
		f.lifts = append(f.lifts, lift)
	}
}

// injectFault injects a fault into future requests.
func (f *faults) injectFault() {
	e := f.effect(false)
	verbs := []watchtest.Verb{
		0, 0, watchtest.Watch, watchtest.Watch, watchtest.Watch | watchtest.StreamingList,
		watchtest.StreamingList, watchtest.List, watchtest.List | watchtest.StreamingList,
	}
	fault := watchtest.Fault{On: verbs[f.random.IntN(len(verbs))], Skip: max(0, f.random.IntN(6)-3), Times: f.random.IntN(5), Do: e.Effect}
	if f.random.IntN(2) == 0 {
		fault.After = f.random.IntN(5)
	}
	f.trace.add("requests (%v, after skipping %d, %d times, after %d frames): %s", fault.On, fault.Skip, fault.Times, fault.After, e.name)
	f.lifts = append(f.lifts, f.server.Inject(fault))
}

func (f *faults) liftOne() {
	n := f.random.IntN(8)
	if n >= len(f.lifts) {
		return
	}
	f.trace.add("a fault is lifted")
	f.lifts[n]()
	f.lifts = slices.Delete(f.lifts, n, n+1)
}

func (f *faults) liftAll() {
	for _, lift := range f.lifts {
		lift()
	}
	f.lifts = nil
}

// effect returns a random effect for open streams, or for future requests.
func (f *faults) effect(open bool) namedEffect {
	if f.transportOnly || f.random.IntN(2) == 0 {
		return f.transportEffect()
	}
	switch n := f.random.IntN(8); {
	case n == 0:
		return namedEffect{watchtest.Malform(), "malformed object"}
	case n == 1 && !open:
		return namedEffect{watchtest.OmitInitialEventsEnd(), "no end of the initial events"}
	case n == 1 && f.json:
		return namedEffect{watchtest.SendRaw(frame(watch.Modified, foreignObject)), "an object that is no pod"}
	case n == 2 && f.json && open:
		if p := f.olderState(); p != nil {
			f.olderStates++
			return namedEffect{watchtest.SendRaw(frame(watch.Modified, p)), "an old state of " + p.Name + " at " + p.ResourceVersion}
		}
	}
	status := f.status()
	return namedEffect{watchtest.Answer(status), "answer " + string(status.Status().Reason)}
}

func (f *faults) transportEffect() namedEffect {
	switch f.random.IntN(17) {
	case 13, 14:
		d, end := time.Duration(1+f.random.IntN(60))*time.Second, f.cutOrReset()
		return namedEffect{watchtest.Limit(d, end.Effect), fmt.Sprintf("%s after %v", end.name, d)}
	case 15, 16:
		f.maybeSilent = true
		return namedEffect{watchtest.HoldHeaders(), "headers held back"}
	case 11, 12:
		d, end := time.Duration(100+f.random.IntN(5000))*time.Millisecond, f.cutOrReset()
		return namedEffect{watchtest.Idle(d, end.Effect), fmt.Sprintf("%s when idle for %v", end.name, d)}
	case 0:
		return namedEffect{watchtest.Refuse(), "refused"}
	case 1:
		return namedEffect{watchtest.Reset(), "reset"}
	case 2:
		return namedEffect{watchtest.Break(io.EOF), "closed"}
	case 3, 4:
		return namedEffect{watchtest.Cut(), "cut"}
	case 5:
		return namedEffect{watchtest.Tear(), "torn"}
	case 6:
		f.maybeSilent = true
		return namedEffect{watchtest.Silence(), "silence"}
	case 7:
		f.maybeSilent = true
		bytes, pause := 64+f.random.IntN(400), time.Duration(1+f.random.IntN(50))*time.Millisecond
		return namedEffect{watchtest.Slow(bytes, pause), fmt.Sprintf("slow, %d bytes each %v", bytes, pause)}
	case 8:
		f.maybeSilent = true
		bytes := f.garbage()
		return namedEffect{watchtest.SendRaw(bytes), fmt.Sprintf("garbage %q", bytes)}
	case 9:
		f.maybeSilent = true
		return namedEffect{watchtest.Hang(), "hang"}
	default:
		d := time.Duration(1+f.random.IntN(90)) * time.Second
		return namedEffect{watchtest.Delay(d), fmt.Sprintf("late by %v", d)}
	}
}

// cutOrReset returns an effect that ends a stream.
func (f *faults) cutOrReset() namedEffect {
	if f.random.IntN(2) == 0 {
		return namedEffect{watchtest.Reset(), "reset"}
	}
	return namedEffect{watchtest.Cut(), "cut"}
}

// putBack ends all streams as a server does whose database was put back while it ran, and
// refuses the next requests.
func (f *faults) putBack() {
	refused := []watchtest.Verb{0, watchtest.Watch, watchtest.List | watchtest.StreamingList}[f.random.IntN(3)]
	f.trace.add("all streams end, and the next requests (%v) are refused", refused)
	f.lifts = append(f.lifts, f.server.Inject(watchtest.Fault{
		On: refused, Times: 1 + f.random.IntN(2), Do: watchtest.Answer(apierrors.NewTooManyRequests("storage is (re)initializing", 1)),
	}))
	f.server.Strike(watchtest.Cut())
}

// loseStore lets some time pass in which the server has lost its etcd.
func (f *faults) loseStore() {
	d := []time.Duration{3 * time.Second, 40 * time.Second, 5 * time.Minute}[f.random.IntN(3)]
	f.trace.add("the server has lost its store for %v", d)
	f.maybeSilent = true
	restore := f.server.LoseStore()
	time.Sleep(d)
	restore()
}

func (f *faults) garbage() []byte {
	known := [][]byte{[]byte("<html>"), {0, 0, 0, 2, 'x', 'y'}, {0, 0, 0, 0}, []byte("null"), []byte("}{"), []byte(`{"type":`)}
	if n := f.random.IntN(2 * len(known)); n < len(known) {
		return known[n]
	}
	bytes := make([]byte, 1+f.random.IntN(12))
	for i := range bytes {
		bytes[i] = byte(f.random.IntN(256))
	}
	return bytes
}

func (f *faults) status() apierrors.APIStatus {
	seconds := 1 + f.random.IntN(20)
	tooLarge := apierrors.NewTimeoutError("too large resource version", 1)
	tooLarge.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: metav1.CauseTypeResourceVersionTooLarge}}
	expired := apierrors.NewResourceExpired("too old resource version")
	pods := corev1.Resource("pods")
	all := []apierrors.APIStatus{
		apierrors.NewForbidden(pods, "", errors.New("RBAC")),
		apierrors.NewUnauthorized("who are you"),
		apierrors.NewInternalError(errors.New("etcd has a cold")),
		expired, expired, tooLarge,
		apierrors.NewTooManyRequests("come back later", seconds),
		apierrors.NewServiceUnavailable("starting up"),
		apierrors.NewServerTimeout(pods, "list", seconds),
		apierrors.NewTimeoutError("the storage is slow", 0),
		apierrors.NewBadRequest("resourceVersion too old"),
		apierrors.NewInvalid(corev1.SchemeGroupVersion.WithKind("Pod").GroupKind(), "", nil),
	}
	return all[f.random.IntN(len(all))]
}

// foreignReason is a text that occurs only in foreignObject, which is not a pod.
const foreignReason = "ForeignObject"

var foreignObject = &metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Reason: foreignReason}

// frame returns the JSON encoding of a watch event.
func frame(kind watch.EventType, object runtime.Object) []byte {
	if p, ok := object.(*corev1.Pod); ok {
		p = p.DeepCopy()
		p.TypeMeta = metav1.TypeMeta{Kind: "Pod", APIVersion: "v1"}
		object = p
	}
	bytes, err := json.Marshal(metav1.WatchEvent{Type: string(kind), Object: runtime.RawExtension{Object: object}})
	if err != nil {
		panic(err)
	}
	return bytes
}
