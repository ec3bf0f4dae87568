// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	goruntime "runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"
	"weak"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/executorpods/watchsource/internal/podwire/protobuf"
	"github.com/executorpods/watchsource/internal/test/podtest"
)

// partShapes are the shapes of a pod's parts, and what client-go decodes them with.
var partShapes = []struct {
	name      string
	shape     func() *shape
	of        func(*corev1.Pod) interface{ Marshal() ([]byte, error) }
	unmarshal func(protobuf.Message) error
}{
	{"metadata", metadataShape, func(p *corev1.Pod) interface{ Marshal() ([]byte, error) } { return &p.ObjectMeta }, func(m protobuf.Message) error { return new(metav1.ObjectMeta).Unmarshal(m) }},
	{"spec", specShape, func(p *corev1.Pod) interface{ Marshal() ([]byte, error) } { return &p.Spec }, func(m protobuf.Message) error { return new(corev1.PodSpec).Unmarshal(m) }},
	{"status", statusShape, func(p *corev1.Pod) interface{ Marshal() ([]byte, error) } { return &p.Status }, func(m protobuf.Message) error { return new(corev1.PodStatus).Unmarshal(m) }},
}

// refuses reports whether a check fails or panics, as the generated code of quantities may.
func refuses(check func() bool) (refused bool) {
	defer func() {
		if recover() != nil {
			refused = true
		}
	}()
	return !check()
}

// A message that was packed with any template is unpacked byte for byte, and a message that
// client-go refuses is not packed.
func FuzzDelta(f *testing.F) {
	for part := range byte(3) {
		for seed := range uint64(4) {
			f.Add(part, seed, seed, []byte{}, []byte{})
			f.Add(part, seed, seed+1, []byte{}, []byte{})
			for how := range byte(7) {
				for of := range byte(4) {
					f.Add(part, seed, seed, []byte{}, []byte{of, how, 3})
					f.Add(part, seed, seed, []byte{of, how, 3}, []byte{})
					f.Add(part, seed, seed, []byte{of, how, 3}, []byte{of, 7, 0, of, how, 17})
				}
			}
		}
	}
	f.Fuzz(func(t *testing.T, part byte, templateSeed, seed uint64, templateScript, script []byte) {
		of := partShapes[int(part)%len(partShapes)]
		from, err := of.of(podtest.Filled(templateSeed)).Marshal()
		if err != nil {
			t.Skip(err)
		}
		whole, err := of.of(podtest.Filled(seed)).Marshal()
		if err != nil {
			t.Skip(err)
		}
		s := of.shape()
		if s.fits(whole) == (of.unmarshal(whole) != nil) {
			t.Fatalf("%s: the shape fits: %t, want what client-go does with an undamaged message", of.name, s.fits(whole))
		}
		from = damaged(from, templateScript)
		if refuses(func() bool { return s.fits(from) }) {
			return // it cannot be a template
		}
		for _, m := range [][]byte{damaged(whole, script), whole, from, damaged(from, script), {}} {
			comparePacked(t, s, from, m, of.unmarshal)
		}
	})
}

// comparePacked packs a message with a template, by itself and as the next state of it.
func comparePacked(t *testing.T, s *shape, from, m []byte, unmarshal func(protobuf.Message) error) {
	t.Helper()
	made := &template{bytes.Clone(from)}
	fits := !refuses(func() bool { return s.fits(m) })
	if fits && refuses(func() bool { return unmarshal(m) == nil }) {
		t.Fatalf("the shape fits a message that client-go refuses: %x", m)
	}
	var w deltaWriter
	var delta []byte
	ok := !refuses(func() (ok bool) { delta, _, ok = w.write(made.wire, m, s, math.MaxInt); return ok })
	if ok != fits {
		t.Fatalf("%x is packed with %x: %t, want %t as for the shape", m, from, ok, fits)
	}
	if ok {
		compareUnpacked(t, packed{made, string(delta)}, m)
	}
	p := newPacker(s)
	p.last = weak.Make(made)
	for _, before := range []packed{{}, {template: made}, {template: &template{bytes.Clone(m[:0])}}} {
		var now packed
		if ok := !refuses(func() (ok bool) { now, ok = p.pack(m, before, func() uint64 { return 0 }); return ok }); ok != fits {
			t.Fatalf("%x is packed after %x: %t, want %t as for the shape", m, before.appendTo(nil), ok, fits)
		} else if ok {
			compareUnpacked(t, now, m)
		}
	}
	if !bytes.Equal(made.wire, from) {
		t.Fatalf("the template %x has become %x", from, made.wire)
	}
}

func compareUnpacked(t *testing.T, p packed, m []byte) {
	t.Helper()
	head := []byte("head")
	if got := p.appendTo(bytes.Clone(head)); !bytes.Equal(got, slices.Concat(head, m)) {
		t.Fatalf("unpacked %x, want %x", got, slices.Concat(head, m))
	}
	others := [][]byte{m, nil, slices.Concat(m, []byte{0}), p.template.bytes()}
	if len(m) > 0 {
		first, middle, last := bytes.Clone(m), bytes.Clone(m), bytes.Clone(m)
		first[0] ^= 1
		middle[len(m)/2] ^= 1
		last[len(m)-1] ^= 1
		others = append(others, first, middle, last, m[1:], m[:len(m)-1], m[:len(m)/2])
	}
	for _, other := range others {
		if got, want := p.equals(other), bytes.Equal(m, other); got != want {
			t.Fatalf("%x equals %x: %t, want %t", m, other, got, want)
		}
	}
}

func (t *template) bytes() []byte {
	if t == nil {
		return nil
	}
	return t.wire
}

// A store keeps the last state of each pod, as long as it wants, and counts the templates.
type podStore struct {
	*decoder
	pods map[types.UID]*Pod
	made map[weak.Pointer[template]]bool // of all states
}

func newPodStore() *podStore {
	s := &podStore{pods: map[types.UID]*Pod{}, made: map[weak.Pointer[template]]bool{}}
	s.decoder = newDecoder(Wire, nil, func(uid []byte) Known {
		if pod := s.pods[types.UID(uid)]; pod != nil {
			return Known{Identity: pod.Identity, Pod: pod}
		}
		return Known{}
	})
	return s
}

// receive decodes a state of a pod, and keeps it in the place of the one before.
func (s *podStore) receive(tb testing.TB, pod *corev1.Pod) *Pod {
	tb.Helper()
	raw, err := pod.Marshal()
	if err != nil {
		tb.Fatal(err)
	}
	now, ok := s.object(wrapped("Pod", raw)).(*Pod)
	if !ok {
		tb.Fatalf("%s is not decoded, want it decoded", pod.Name)
	}
	clear(raw)
	for _, p := range partsIn(now) {
		if p.template != nil {
			s.made[weak.Make(p.template)] = true
		}
	}
	s.pods[now.UID] = now
	return now
}

func partsIn(p *Pod) [3]packed { return [3]packed{p.metadata, p.spec, p.status} }

// inUse returns the number of templates of the pods in the store, by part, and the bytes of their deltas.
func (s *podStore) inUse() (templates [3]int, deltas int) {
	var seen [3]map[*template]bool
	for _, pod := range s.pods {
		for i, p := range partsIn(pod) {
			if seen[i] == nil {
				seen[i] = map[*template]bool{}
			}
			if p.template != nil {
				seen[i][p.template] = true
			}
			deltas += len(p.delta)
		}
	}
	for i := range seen {
		templates[i] = len(seen[i])
	}
	return templates, deltas
}

// alive returns the number of templates, of all that were made, that are not garbage.
func (s *podStore) alive() (n int) {
	goruntime.GC()
	goruntime.GC()
	for t := range s.made {
		if t.Value() != nil {
			n++
		}
	}
	return n
}

func samePacked(a, b packed) bool {
	return a.template == b.template && len(a.delta) == len(b.delta) && unsafe.StringData(a.delta) == unsafe.StringData(b.delta)
}

// An event that changes one part of a pod keeps the others in the same memory.
func TestStatesShareWhatHasNotChanged(t *testing.T) {
	for name, test := range map[string]struct {
		change  func(*corev1.Pod)
		changed [3]bool
	}{
		"nothing but the version": {func(p *corev1.Pod) {}, [3]bool{}},
		"managedFields":           {func(p *corev1.Pod) { p.ManagedFields[0].Manager = "another" }, [3]bool{}},
		"status":                  {func(p *corev1.Pod) { p.Status = podtest.Executor(2, 1, false).Status }, [3]bool{2: true}},
		"a label":                 {func(p *corev1.Pod) { p.Labels["team"] = "another" }, [3]bool{true, false, false}},
		"a deletion":              {func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: p.CreationTimestamp.Time} }, [3]bool{true, false, false}},
		"an image":                {func(p *corev1.Pod) { p.Spec.Containers[0].Image = "another" }, [3]bool{false, true, false}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newPodStore()
			s.receive(t, podtest.Executor(1, 1, true)) // has the templates
			before := s.receive(t, podtest.Executor(2, 1, true))
			state := podtest.Executor(2, 2, true)
			test.change(state)
			after := s.receive(t, state)
			a, b := partsIn(before), partsIn(after)
			for i := range a {
				if shared := samePacked(a[i], b[i]); shared == test.changed[i] {
					t.Errorf("%s is shared: %t, want %t", partShapes[i].name, shared, !test.changed[i])
				}
				if a[i].delta == "" {
					t.Errorf("%s has no delta, so this test proves nothing", partShapes[i].name)
				}
			}
			if after.SameMetadata(before) == test.changed[0] {
				t.Errorf("SameMetadata: %t, want %t", test.changed[0], !test.changed[0])
			}
			if unsafe.StringData(before.Name) != unsafe.StringData(after.Name) || unsafe.StringData(before.Namespace) != unsafe.StringData(after.Namespace) {
				t.Error("two states have two copies of their name, want one")
			}
			if before.policies != after.policies || unsafe.StringData(before.node) != unsafe.StringData(after.node) {
				t.Error("two states have two copies of their policies or node, want one")
			}
			if before.ResourceVersion == after.ResourceVersion {
				t.Error("two states have one version, want two")
			}
		})
	}
}

// SameMetadata is false for pods that are not in their wire form, and for different pods.
func TestSameMetadata(t *testing.T) {
	s := newPodStore()
	one, other := s.receive(t, podtest.Executor(1, 1, true)), s.receive(t, podtest.Executor(2, 1, true))
	decoded, part := Of(podtest.Executor(1, 1, true)), Part(one.Identity, "a", "b")
	for name, pair := range map[string][2]*Pod{"two pods": {one, other}, "decoded": {decoded, decoded}, "in part": {part, part}, "one in part": {one, part}} {
		if pair[0].SameMetadata(pair[1]) {
			t.Errorf("%s: SameMetadata is true, want false", name)
		}
	}
}

// Nearly equal pods share their templates. Each pod has only its differences.
func TestNearlyEqualPods(t *testing.T) {
	const pods, most = 1000, 200
	s := newPodStore()
	for i := range pods {
		s.receive(t, podtest.Executor(i, i, i%2 == 0))
	}
	templates, deltas := s.inUse()
	if per := deltas / pods; per > most {
		t.Errorf("%d bytes for each pod, want at most %d", per, most)
	}
	if templates != [3]int{1, 1, 1} {
		t.Errorf("%v templates for metadata, spec and status, want one each", templates)
	}
}

// Templates are freed with the last pod that is made of them.
func TestTemplatesAreFreed(t *testing.T) {
	s := newPodStore()
	var kept *Pod
	var others []weak.Pointer[Pod]
	for seed := range uint64(100) { // pods that have little in common
		pod := podtest.Filled(seed)
		pod.UID, pod.Name = types.UID(fmt.Sprint(seed)), "pod"
		if now := s.receive(t, pod); seed == 50 {
			kept = now
		} else {
			others = append(others, weak.Make(now))
		}
	}
	if n := s.alive(); n < 100 {
		t.Errorf("%d templates of %d are alive, want them to live as long as their pods", n, len(s.made))
	}
	clear(s.pods)
	want := map[*template]bool{}
	for _, p := range partsIn(kept) {
		want[p.template] = true
	}
	if n := s.alive(); n != len(want) {
		t.Errorf("%d templates are alive, want the %d of the only pod", n, len(want))
	}
	for i, other := range others {
		if other.Value() != nil {
			t.Errorf("pod %d is alive, want only the one that is kept", i)
		}
	}
	goruntime.KeepAlive(kept)
	kept, want = nil, nil
	if n := s.alive(); n != 0 {
		t.Errorf("%d templates are alive after the last pod, want none", n)
	}
	goruntime.KeepAlive(s.decoder)
}

// A pod of an application: the applications differ in most of their texts, the pods of one
// in few.
func podOf(app, i int) *corev1.Pod {
	pod := podtest.Executor(app*1000+i, 1, true)
	r := rand.New(rand.NewPCG(uint64(app), 0))
	text := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte('a' + r.IntN(26))
		}
		return string(b)
	}
	pod.Namespace, pod.ManagedFields = "app-"+fmt.Sprint(app), nil
	pod.Labels = map[string]string{"app": text(20), "team": text(20), "pod": fmt.Sprint(i)}
	pod.Annotations = map[string]string{text(10): text(80), text(12): text(60)}
	pod.OwnerReferences[0].Name = text(40)
	c := &pod.Spec.Containers[0]
	c.Env = nil
	for range 25 {
		c.Env = append(c.Env, corev1.EnvVar{Name: text(20), Value: text(40)})
	}
	c.Env = append(c.Env, corev1.EnvVar{Name: "ID", Value: fmt.Sprint(i)})
	c.Image, c.VolumeMounts = text(60), nil
	pod.Spec.Volumes = nil
	pod.Status.ContainerStatuses[0].Image = c.Image
	pod.Status.ContainerStatuses[0].ImageID = text(100)
	pod.Status.ContainerStatuses[0].VolumeMounts = nil
	pod.Status.Message = text(1000)
	return pod
}

// inPhase changes the status of a pod to that of a phase.
func inPhase(pod *corev1.Pod, phase int) *corev1.Pod {
	pod.ResourceVersion = fmt.Sprint(phase)
	status := &pod.Status
	switch phase % 4 {
	case 0: // pending
		*status = corev1.PodStatus{Phase: corev1.PodPending, QOSClass: status.QOSClass, Conditions: status.Conditions[4:5]}
		status.Conditions[0].Reason, status.Conditions[0].Message = "Unschedulable", "0/100 nodes are available: "+strings.Repeat("insufficient cpu, ", 10)
	case 1: // waits for its image
		status.Phase, status.PodIP, status.PodIPs = corev1.PodPending, "", nil
		status.ContainerStatuses[0].ContainerID, status.ContainerStatuses[0].ImageID = "", ""
		status.ContainerStatuses[0].State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}}
	case 2: // runs
	default: // has ended
		status.Phase = corev1.PodFailed
		status.ContainerStatuses[0].State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: 137, Reason: "OOMKilled", StartedAt: *status.StartTime, FinishedAt: *status.StartTime, ContainerID: status.ContainerStatuses[0].ContainerID,
		}}
	}
	return pod
}

// Pods of several applications whose events come in turn do not replace the templates of each other.
func TestTemplatesOfSeveralApplications(t *testing.T) {
	for _, apps := range []int{2, 8, 9, 24, 100} {
		t.Run(fmt.Sprint(apps), func(t *testing.T) {
			const pods, events = 10, 10_000
			s := newPodStore()
			var of []*corev1.Pod
			for j := range apps * pods {
				of = append(of, podOf(j%apps, j/apps))
			}
			for j := range events {
				i, phase := j%len(of), j/len(of)
				s.receive(t, inPhase(of[i].DeepCopy(), i/apps+phase)) // all phases at any time
			}
			templates, deltas := s.inUse()
			alive := s.alive()
			t.Logf("%v templates in use, %d alive, %d made by %d events, %d bytes a pod", templates, alive, len(s.made), events, deltas/len(s.pods))
			if most := 20 * apps; len(s.made) > most {
				t.Errorf("%d templates made by %d events, want at most %d", len(s.made), events, most)
			}
			if most := apps * (1 + 1 + 4); alive > most {
				t.Errorf("%d templates are alive, want at most %d", alive, most)
			}
		})
	}
}

// New pods of several applications in turn find the templates of their applications.
func TestTemplatesOfNewPods(t *testing.T) {
	for _, apps := range []int{2, 8, 9, 24, 100} {
		t.Run(fmt.Sprint(apps), func(t *testing.T) {
			const pods = 1000
			s := newPodStore()
			for j := range pods {
				s.receive(t, podOf(j%apps, j/apps))
			}
			templates, deltas := s.inUse()
			t.Logf("%v templates in use, %d made by %d pods, %d bytes a pod", templates, len(s.made), pods, deltas/pods)
			if most := 2 * apps; slices.Max(templates[:]) > most {
				t.Errorf("%v templates for metadata, spec and status of %d pods, want at most %d each", templates, pods, most)
			}
		})
	}
}

// An element that is inserted or removed costs about as many bytes as it has.
func TestInsertedAndRemovedParts(t *testing.T) {
	for name, change := range map[string]func(*corev1.Pod){
		"a first variable": func(p *corev1.Pod) {
			c := &p.Spec.Containers[0]
			c.Env = slices.Insert(c.Env, 0, corev1.EnvVar{Name: "INSERTED", Value: "here"})
		},
		"a variable in the middle": func(p *corev1.Pod) {
			c := &p.Spec.Containers[0]
			c.Env = slices.Insert(c.Env, 12, corev1.EnvVar{Name: "INSERTED", Value: "here"})
		},
		"the last variable":  func(p *corev1.Pod) { c := &p.Spec.Containers[0]; c.Env = c.Env[:len(c.Env)-1] },
		"the first variable": func(p *corev1.Pod) { c := &p.Spec.Containers[0]; c.Env = c.Env[1:] },
		"the first volume":   func(p *corev1.Pod) { p.Spec.Volumes = p.Spec.Volumes[1:] },
		"an init container":  func(p *corev1.Pod) { p.Spec.InitContainers = []corev1.Container{{Name: "init"}} },
		"a sidecar first": func(p *corev1.Pod) {
			p.Spec.Containers = slices.Insert(p.Spec.Containers, 0, corev1.Container{Name: "sidecar"})
		},
		"a first label":         func(p *corev1.Pod) { p.Labels["a"] = "inserted" },
		"a label in the middle": func(p *corev1.Pod) { p.Labels["spark-exec-resourceprofile-i"] = "inserted" },
		"without a label":       func(p *corev1.Pod) { delete(p.Labels, "spark-app-name") },
		"a first annotation":    func(p *corev1.Pod) { p.Annotations["a"] = "inserted" },
		"a first condition": func(p *corev1.Pod) {
			p.Status.Conditions = slices.Insert(p.Status.Conditions, 0, corev1.PodCondition{Type: "First"})
		},
		"without a first condition": func(p *corev1.Pod) { p.Status.Conditions = p.Status.Conditions[1:] },
	} {
		t.Run(name, func(t *testing.T) {
			s := newPodStore()
			plain := podtest.Executor(1, 1, true)
			s.receive(t, plain)
			changed := podtest.Executor(1, 1, true)
			changed.UID = "another"
			change(changed)
			s.receive(t, changed)
			templates, deltas := s.inUse()
			if templates != [3]int{1, 1, 1} {
				t.Errorf("%v templates, want the pod packed with those of the other", templates)
			}
			if most := 300; deltas > most {
				t.Errorf("%d bytes of deltas, want at most %d", deltas, most)
			}
		})
	}
}

// A small pod does not keep a large one in memory, as another pod or as a later state.
func TestSmallPodKeepsNoLargeTemplate(t *testing.T) {
	s := newPodStore()
	large := podtest.Executor(1, 1, true)
	large.Annotations["zz/config"] = strings.Repeat("large", 40<<10)
	s.receive(t, large)
	later := podtest.Executor(1, 2, true)
	for name, pod := range map[string]*corev1.Pod{"another pod": podtest.Executor(2, 1, true), "a later state": later} {
		size := 0
		for _, part := range partsIn(s.receive(t, pod)) {
			size += len(part.template.wire)
		}
		if most := 2*pod.Size() + 3*256; size > most {
			t.Errorf("%s keeps templates of %d bytes, want at most %d", name, size, most)
		}
	}
}

// Pods share decoded policies if they are equal. A pod whose containers have names of their own
// keeps only their wire form.
func TestPoliciesAreShared(t *testing.T) {
	s := newPodStore()
	received := func(i int, container string) *Pod {
		pod := podtest.Executor(i, 1, true)
		pod.Spec.Containers[0].Name = container
		return s.receive(t, pod)
	}
	if own := received(1, "own"); own.policies.spec != nil {
		t.Error("the policies of the only pod that has them are decoded, want their wire form")
	}
	second, third := received(2, "own"), received(3, "own")
	if second.policies != third.policies || second.policies.spec == nil {
		t.Error("pods with equal policies have two copies of them, want one that is decoded")
	}
}

// A decoder does not keep the memory that a large pod has needed, whether the pod was packed or
// decoded, and in each of its states.
func TestMemoryOfALargePod(t *testing.T) {
	for _, form := range []Form{Wire, Whole, Trimmed} {
		var last *Pod
		d := newDecoder(form, nil, func([]byte) Known { return Known{Pod: last} })
		for state := range 3 {
			pod := podtest.Executor(1, state, true)
			pod.Annotations["large"] = strings.Repeat(fmt.Sprint("state ", state), 40<<10)
			for i := range 2000 {
				pod.Spec.InitContainers = append(pod.Spec.InitContainers, corev1.Container{Name: fmt.Sprint("init-", state, "-", i)})
			}
			pod.Status.Message = strings.Repeat(fmt.Sprint("message ", state), 40<<10)
			last = d.object(envelope(t, pod)).(*Pod)
			kept := cap(d.rest) + cap(d.kept)
			for _, p := range []*packer{&d.metadata, &d.spec, &d.status} {
				kept += cap(p.best) + cap(p.delta.delta) + cap(p.delta.add)
			}
			if most := 4 * longestMemory; kept > most {
				t.Errorf("form %d, state %d: the decoder keeps %d bytes, want at most %d", form, state, kept, most)
			}
		}
	}
}
