// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/podtest"
)

const protobufMedia = runtime.ContentTypeProtobuf

var protobuf = func() runtime.SerializerInfo {
	info, ok := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), protobufMedia)
	if !ok {
		panic("client-go has no protobuf")
	}
	return info
}()

// encode writes an object as the API server answers it: "k8s", a zero, and an
// envelope that names the kind.
func encode(object runtime.Object) []byte {
	var out bytes.Buffer
	if err := protobuf.Serializer.Encode(object, &out); err != nil {
		panic(fmt.Sprintf("encode %T: %v", object, err))
	}
	return out.Bytes()
}

// A framing writes an event as one frame of a watch.
type framing func(event watch.EventType, pod *corev1.Pod) []byte

// jsonFrame is the event with the pod in it, on a line.
func jsonFrame(event watch.EventType, pod *corev1.Pod) []byte {
	encoded, err := json.Marshal(metav1.WatchEvent{Type: string(event), Object: runtime.RawExtension{Object: pod}})
	if err != nil {
		panic(fmt.Sprintf("encode a watch event: %v", err))
	}
	return append(encoded, '\n')
}

// protobufFrame is four bytes of length and the event with the encoded pod in it.
func protobufFrame(event watch.EventType, pod *corev1.Pod) []byte {
	var out, framed bytes.Buffer
	envelope := &metav1.WatchEvent{Type: string(event), Object: runtime.RawExtension{Raw: encode(pod)}}
	if err := protobuf.StreamSerializer.Encode(envelope, &out); err != nil {
		panic(fmt.Sprintf("encode a watch event: %v", err))
	}
	if _, err := protobuf.StreamSerializer.Framer.NewFrameWriter(&framed).Write(out.Bytes()); err != nil {
		panic(fmt.Sprintf("frame a watch event: %v", err))
	}
	return framed.Bytes()
}

// objectOf returns the encoded pod in a protobuf frame.
func objectOf(frame []byte) ([]byte, error) {
	const lengthSize = 4
	var event metav1.WatchEvent
	if _, _, err := protobuf.StreamSerializer.Decode(frame[lengthSize:], nil, &event); err != nil {
		return nil, fmt.Errorf("decode a watch event: %w", err)
	}
	return event.Object.Raw, nil
}

// A podTemplate is the encoding of one executor pod. The encoding of any other pod is made
// from it by overwriting the texts that differ. Encodings of 100,000 pods would not fit
// into memory beside their consumers, and encoding them during the run would make the
// server the bottleneck.
type podTemplate struct {
	encoded []byte
	spots   [][]int // where each text of identity.texts stands
	app     []int   // where the application id stands
	version []int   // where the resource version stands
}

// The pod that a podTemplate is made from, chosen so that its texts occur in no other
// place.
const (
	templatePod     = 654_321
	templateVersion = 876_543_219
)

func newPodTemplate(encodePod func(pod *corev1.Pod) []byte, ready bool) podTemplate {
	return templateOf(podtest.Executor(templatePod, templateVersion, ready), encodePod)
}

// templateOf makes a template of a variation of the pod templatePod.
func templateOf(pod *corev1.Pod, encodePod func(pod *corev1.Pod) []byte) podTemplate {
	m := podTemplate{encoded: encodePod(pod)}
	for _, text := range podtest.ExecutorTexts(templatePod) {
		m.spots = append(m.spots, occurrences(m.encoded, text))
	}
	m.app = occurrences(m.encoded, appID)
	m.version = occurrences(m.encoded, podtest.VersionText(templateVersion))
	return m
}

func occurrences(encoded []byte, text string) []int {
	var spots []int
	for from := 0; ; {
		i := bytes.Index(encoded[from:], []byte(text))
		if i < 0 {
			return spots
		}
		spots = append(spots, from+i)
		from += i + len(text)
	}
}

// appendPod appends the encoding of the i-th pod, which belongs to an application.
func (m podTemplate) appendPod(to []byte, i, version int, app string) []byte {
	start := len(to)
	to = append(to, m.encoded...)
	pod := to[start:]
	for k, text := range podtest.ExecutorTexts(i) {
		for _, spot := range m.spots[k] {
			copy(pod[spot:], text)
		}
	}
	for _, spot := range m.app {
		copy(pod[spot:], app)
	}
	for _, spot := range m.version {
		copy(pod[spot:], podtest.VersionText(version))
	}
	return to
}

// A script is all that the replay server says to one consumer: pods that are
// there at the start, updates of them one after the other, and a marker.
type script struct {
	pods    int
	updates int
	warmUp  int // so many of the updates come first, followed by a marker
	apps    int // the applications that the pods belong to, in turn

	kind *podtest.Kind // of the pods, nil for executors of Spark

	media    string // of the frames
	frame    framing
	added    podTemplate    // frame of a pod that is there
	modified [2]podTemplate // frames of an update: not ready, ready
	item     podTemplate    // of a list, only in protobuf
}

func newScript(pods, updates, apps int) *script {
	s := &script{pods: pods, updates: updates, apps: apps, media: protobufMedia, item: newPodTemplate(encodeItem, true)}
	s.setFrame(protobufFrame)
	return s
}

// inJSON returns the same script with frames in JSON. It has no lists.
func (s *script) inJSON() *script {
	other := *s
	other.media = runtime.ContentTypeJSON
	other.setFrame(jsonFrame)
	return &other
}

func (s *script) setFrame(frame framing) {
	framed := func(event watch.EventType) func(*corev1.Pod) []byte {
		return func(pod *corev1.Pod) []byte { return frame(event, pod) }
	}
	s.frame = frame
	s.added = newPodTemplate(framed(watch.Added), true)
	s.modified = [2]podTemplate{newPodTemplate(framed(watch.Modified), false), newPodTemplate(framed(watch.Modified), true)}
}

// listVersion is the resource version of the initial view.
func (s *script) listVersion() int { return s.pods }

// appendAdded appends the frame that shows the i-th pod in a streaming list.
func (s *script) appendAdded(to []byte, i int) []byte {
	if s.kind != nil {
		return append(to, s.frame(watch.Added, s.kindPod(i, 0, i+1))...)
	}
	return s.added.appendPod(to, i, i+1, s.appOf(i))
}

// appendInitialEnd appends the bookmark that ends a streaming list.
func (s *script) appendInitialEnd(to []byte) []byte {
	return append(to, s.frame(watch.Bookmark, initialEnd(s.listVersion()))...)
}

// initialEnd is the object of the bookmark that ends a streaming list.
func initialEnd(version int) *corev1.Pod {
	return &corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{
			ResourceVersion: podtest.VersionText(version),
			Annotations:     map[string]string{metav1.InitialEventsAnnotationKey: "true"},
		},
	}
}

// updated returns which pod the j-th update changes, and whether it is ready
// then. Updates go through all pods in a scattered order before one has its
// next.
func (s *script) updated(j int) (i int, ready bool) {
	round, place := j/s.pods, j%s.pods
	return place * s.stride() % s.pods, round%2 == 1
}

// stride has no divisor in common with the number of pods, because it is prime
// and does not divide it.
func (s *script) stride() int {
	for _, prime := range []int{7919, 7907, 7901} {
		if s.pods%prime != 0 {
			return prime
		}
	}
	return 1
}

func (s *script) appendUpdate(to []byte, j int) []byte {
	version := s.updateVersion(j)
	if s.kind != nil {
		i, updates := s.kindUpdated(j)
		return append(to, s.frame(watch.Modified, s.kindPod(i, updates, version))...)
	}
	i, ready := s.updated(j)
	m := s.modified[0]
	if ready {
		m = s.modified[1]
	}
	return m.appendPod(to, i, version, s.appOf(i))
}

// updateVersion returns the resource version of the j-th update.
func (s *script) updateVersion(j int) int {
	version := s.listVersion() + 1 + j
	if s.warmUp > 0 && j >= s.warmUp {
		version++ // of the marker
	}
	return version
}

// lastFrames returns the last frame of each pod.
func (s *script) lastFrames() [][]byte {
	frames := make([][]byte, s.pods)
	for i := range frames {
		frames[i] = s.appendAdded(nil, i)
	}
	for j := range s.updates {
		frames[s.updatedPod(j)] = s.appendUpdate(nil, j)
	}
	return frames
}

// appendMarker appends the marker of the k-th application.
func (s *script) appendMarker(to []byte, k int) []byte {
	return append(to, s.frame(watch.Added, s.markerPod(s.listVersion()+s.updates+2+k, k))...)
}

// appendWarmUpMarker appends the marker after the first updates.
func (s *script) appendWarmUpMarker(to []byte) []byte {
	return append(to, s.frame(watch.Added, warmUpMarker(s.listVersion()+s.warmUp+1))...)
}

// markerPod has the labels by which the consumers select the pods.
func (s *script) markerPod(version, k int) *corev1.Pod {
	marker := markerPod(version, k)
	if s.kind != nil {
		marker.Labels = podtest.KindLabels()
		marker.Labels[podtest.KindIDLabel] = markerName
	}
	return marker
}

// labels returns the labels of the pods of the k-th application that a selector may name.
func (s *script) labels(k int) labels.Set {
	if s.kind != nil {
		return podtest.KindLabels()
	}
	return labels.Set{watchsource.LabelApp: nthApp(k), watchsource.LabelRole: watchsource.RoleExecutor}
}

// appOf returns the application of the i-th pod.
func (s *script) appOf(i int) string { return nthApp(i % s.apps) }

// A list is written by hand, because it need not be in memory as a whole: the
// envelope, the list's metadata, and then the pods as repeated field 2, each of
// the same size.

const (
	fieldRaw   = 2<<3 | 2 // of runtime.Unknown
	fieldMeta  = 1<<3 | 2 // of PodList
	fieldItems = 2<<3 | 2
)

func encodeItem(pod *corev1.Pod) []byte {
	raw, err := pod.Marshal()
	if err != nil {
		panic(fmt.Sprintf("encode a pod: %v", err))
	}
	return appendField(nil, fieldItems, raw)
}

func appendField(to []byte, tag byte, value []byte) []byte {
	to = append(to, tag)
	to = binary.AppendUvarint(to, uint64(len(value)))
	return append(to, value...)
}

// A page is the part of a list from one pod up to another, and the length of the list.
type page struct{ from, to, of int }

// list returns the parts of a page's encoding before and after the pods.
func (s *script) list(p page, continueToken string) (before, after []byte) {
	meta := metav1.ListMeta{ResourceVersion: podtest.VersionText(s.listVersion()), Continue: continueToken}
	if continueToken != "" {
		meta.RemainingItemCount = new(int64(p.of - p.to))
	}
	rawMeta, err := meta.Marshal()
	if err != nil {
		panic(fmt.Sprintf("encode a list's metadata: %v", err))
	}
	head := appendField(nil, fieldMeta, rawMeta)

	// An empty list has the same envelope, except for the length of its contents.
	empty := encode(&corev1.PodList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"}})
	var envelope runtime.Unknown
	if err := envelope.Unmarshal(empty[4:]); err != nil {
		panic(fmt.Sprintf("decode an envelope: %v", err))
	}
	rawField := appendField(nil, fieldRaw, envelope.Raw)
	at := bytes.LastIndex(empty, rawField)
	before, after = slices.Clone(empty[:at]), slices.Clone(empty[at+len(rawField):])

	before = append(before, fieldRaw)
	before = binary.AppendUvarint(before, uint64(len(head)+(p.to-p.from)*len(s.item.encoded)))
	return append(before, head...), after
}
