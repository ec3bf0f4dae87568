// SPDX-License-Identifier: Apache-2.0

package watchtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/client-go/kubernetes/scheme"
)

// Writes by clients follow the rules of the API server that a scheduler or its executors can
// observe. The callers of the methods in this file hold mu.

func (s *Server) get(c *call) (*corev1.Pod, *apierrors.StatusError) {
	pod, err := s.podOf(c)
	if err != nil {
		return nil, err
	}
	return withTypeMeta(pod), nil
}

// podOf returns the pod with the name in the request.
func (s *Server) podOf(c *call) (*corev1.Pod, *apierrors.StatusError) {
	pod, exists := s.store.pods[key(c.Namespace, c.Name)]
	if !exists {
		return nil, apierrors.NewNotFound(podResource, c.Name)
	}
	return pod, nil
}

// create stores a new pod. It ignores the status in the request and sets the phase Pending,
// because the pod has not run yet.
func (s *Server) create(c *call, content []byte) (*corev1.Pod, *apierrors.StatusError) {
	pod, err := decodePod(c, content)
	if err != nil {
		return nil, err
	}
	if pod.Name == "" && pod.GenerateName != "" {
		pod.Name = fmt.Sprintf("%s%05x", pod.GenerateName, s.created+1)
	}
	if pod.Name == "" {
		missing := field.Required(field.NewPath("metadata", "name"), "name or generateName is required")
		return nil, apierrors.NewInvalid(corev1.SchemeGroupVersion.WithKind("Pod").GroupKind(), "", field.ErrorList{missing})
	}
	if _, exists := s.store.pods[keyOf(pod)]; exists {
		return nil, apierrors.NewAlreadyExists(podResource, pod.Name)
	}
	pod.UID, pod.CreationTimestamp = "", metav1.Time{}
	pod.DeletionTimestamp, pod.DeletionGracePeriodSeconds = nil, nil
	pod.Status = corev1.PodStatus{Phase: corev1.PodPending}
	if pod.Spec.TerminationGracePeriodSeconds == nil {
		pod.Spec.TerminationGracePeriodSeconds = new(int64(corev1.DefaultTerminationGracePeriodSeconds))
	}
	return withTypeMeta(s.insert(pod)), nil
}

func (s *Server) update(c *call, content []byte) (*corev1.Pod, *apierrors.StatusError) {
	old, err := s.podOf(c)
	if err != nil {
		return nil, err
	}
	pod, err := decodePod(c, content)
	if err != nil {
		return nil, err
	}
	return s.replace(c, old, pod)
}

// patch supports strategic merge patches and merge patches.
func (s *Server) patch(c *call, content []byte) (*corev1.Pod, *apierrors.StatusError) {
	old, err := s.podOf(c)
	if err != nil {
		return nil, err
	}
	patched, err := applyPatch(c.http.Header.Get("Content-Type"), withTypeMeta(old), content)
	if err != nil {
		return nil, err
	}
	return s.replace(c, old, patched)
}

func applyPatch(contentType string, old *corev1.Pod, patch []byte) (*corev1.Pod, *apierrors.StatusError) {
	original, err := json.Marshal(old)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	var merged []byte
	switch mediaType, _, _ := mime.ParseMediaType(contentType); types.PatchType(mediaType) {
	case types.StrategicMergePatchType:
		merged, err = strategicpatch.StrategicMergePatch(original, patch, corev1.Pod{})
	case types.MergePatchType:
		merged, err = mergePatch(original, patch)
	default:
		return nil, unsupportedMedia(string(types.StrategicMergePatchType + ", " + types.MergePatchType))
	}
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	pod := new(corev1.Pod)
	if err := json.Unmarshal(merged, pod); err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	return pod, nil
}

// mergePatch applies a merge patch of RFC 7386.
func mergePatch(original, patch []byte) ([]byte, error) {
	var target, change any
	if err := json.Unmarshal(original, &target); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(patch, &change); err != nil {
		return nil, err
	}
	return json.Marshal(merge(target, change))
}

func merge(target, change any) any {
	changes, isObject := change.(map[string]any)
	if !isObject {
		return change
	}
	merged, isObject := target.(map[string]any)
	if !isObject {
		merged = map[string]any{}
	}
	for name, value := range changes {
		if value == nil {
			delete(merged, name)
		} else {
			merged[name] = merge(merged[name], value)
		}
	}
	return merged
}

// replace stores a changed pod. An update ignores changes to the status, and an update of
// the status ignores changes to the specification. Without a change, nothing is written.
func (s *Server) replace(c *call, old, pod *corev1.Pod) (*corev1.Pod, *apierrors.StatusError) {
	if pod.UID != "" && pod.UID != old.UID {
		return nil, conflict(pod.Name, "Precondition failed: UID in precondition: %v, UID in object meta: %v", pod.UID, old.UID)
	}
	if pod.ResourceVersion != "" && pod.ResourceVersion != old.ResourceVersion {
		return nil, conflict(pod.Name, "the object has been modified; please apply your changes to the latest version and try again")
	}
	pod.UID, pod.CreationTimestamp = old.UID, old.CreationTimestamp
	pod.DeletionTimestamp, pod.DeletionGracePeriodSeconds = old.DeletionTimestamp, old.DeletionGracePeriodSeconds
	pod.GenerateName, pod.ResourceVersion, pod.TypeMeta = old.GenerateName, old.ResourceVersion, old.TypeMeta
	if c.Subresource == "status" {
		pod.Spec = *old.Spec.DeepCopy()
	} else {
		pod.Status = *old.Status.DeepCopy()
	}
	if equality.Semantic.DeepEqual(old, pod) {
		return withTypeMeta(old), nil
	}
	stored := s.commit(s.store.put(pod))
	if stored.DeletionTimestamp != nil && len(stored.Finalizers) == 0 && graceOf(stored) == 0 {
		s.commit(s.store.remove(keyOf(stored)))
	}
	return withTypeMeta(stored), nil
}

// delete sets the deletion timestamp of a pod, or removes it. It removes a pod at once if it
// has no finalizer, and if it is not on a node, has ended, or is deleted without grace.
func (s *Server) delete(c *call, content []byte) (*corev1.Pod, *apierrors.StatusError) {
	opts, err := decodeDeleteOptions(c, content)
	if err != nil {
		return nil, err
	}
	pod, err := s.podOf(c)
	if err != nil {
		return nil, err
	}
	return s.deletePod(pod, opts)
}

func (s *Server) deleteCollection(c *call, content []byte) (*corev1.PodList, *apierrors.StatusError) {
	opts, err := decodeDeleteOptions(c, content)
	if err != nil {
		return nil, err
	}
	list, err := s.list(c)
	if err != nil {
		return nil, err
	}
	for i := range list.Items {
		pod, err := s.deletePod(s.store.pods[keyOf(&list.Items[i])], opts)
		if err != nil {
			return nil, err
		}
		list.Items[i] = *pod
	}
	return list, nil
}

func (s *Server) deletePod(pod *corev1.Pod, opts metav1.DeleteOptions) (*corev1.Pod, *apierrors.StatusError) {
	if err := checkPreconditions(pod, opts.Preconditions); err != nil {
		return nil, err
	}
	grace := graceFor(pod, opts.GracePeriodSeconds)
	if grace == 0 && len(pod.Finalizers) == 0 {
		return withTypeMeta(s.commit(s.store.remove(keyOf(pod)))), nil
	}
	if pod.DeletionTimestamp != nil && grace >= graceOf(pod) {
		return withTypeMeta(pod), nil // already being deleted, and the grace period can only become shorter
	}
	marked := pod.DeepCopy()
	marked.DeletionTimestamp = new(metav1.NewTime(time.Now().Add(time.Duration(grace) * time.Second)))
	marked.DeletionGracePeriodSeconds = &grace
	return withTypeMeta(s.commit(s.store.put(marked))), nil
}

func checkPreconditions(pod *corev1.Pod, want *metav1.Preconditions) *apierrors.StatusError {
	switch {
	case want == nil:
		return nil
	case want.UID != nil && *want.UID != pod.UID:
		return conflict(pod.Name, "the UID in the precondition (%s) does not match the UID in record (%s). The object might have been deleted and then recreated", *want.UID, pod.UID)
	case want.ResourceVersion != nil && *want.ResourceVersion != pod.ResourceVersion:
		return conflict(pod.Name, "the ResourceVersion in the precondition (%s) does not match the ResourceVersion in record (%s). The object might have been modified", *want.ResourceVersion, pod.ResourceVersion)
	default:
		return nil
	}
}

// graceFor returns the grace period in seconds that a deletion gives a pod.
func graceFor(pod *corev1.Pod, requested *int64) int64 {
	var grace int64
	switch {
	case requested != nil:
		grace = *requested
	case pod.DeletionTimestamp != nil:
		return graceOf(pod)
	case pod.Spec.TerminationGracePeriodSeconds != nil:
		grace = *pod.Spec.TerminationGracePeriodSeconds
	}
	ended := pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded
	if pod.Spec.NodeName == "" || ended {
		return 0
	}
	if grace < 0 {
		return 1
	}
	return grace
}

// graceOf returns the grace period of a pod that is being deleted.
func graceOf(pod *corev1.Pod) int64 {
	if pod.DeletionGracePeriodSeconds == nil {
		return 0
	}
	return *pod.DeletionGracePeriodSeconds
}

func conflict(name, format string, args ...any) *apierrors.StatusError {
	return apierrors.NewConflict(podResource, name, fmt.Errorf(format, args...))
}

// decodePod decodes the pod in a request. Its name must be the name in the path.
func decodePod(c *call, content []byte) (*corev1.Pod, *apierrors.StatusError) {
	object, err := decode(c.http.Header, content, corev1.SchemeGroupVersion.WithKind("Pod"))
	if err != nil {
		return nil, err
	}
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("a pod is needed, not a %T", object))
	}
	if pod.Namespace == "" {
		pod.Namespace = c.Namespace
	}
	if pod.Namespace != c.Namespace {
		return nil, apierrors.NewBadRequest("the namespace of the provided object does not match the namespace sent on the request")
	}
	if c.Name != "" && pod.Name != c.Name {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("the name of the object (%s) does not match the name on the URL (%s)", pod.Name, c.Name))
	}
	return pod, nil
}

// decodeDeleteOptions decodes the options in the body. Older clients send no body.
func decodeDeleteOptions(c *call, content []byte) (metav1.DeleteOptions, *apierrors.StatusError) {
	if len(content) == 0 {
		return metav1.DeleteOptions{}, nil
	}
	object, err := decode(c.http.Header, content, metav1.SchemeGroupVersion.WithKind("DeleteOptions"))
	if err != nil {
		return metav1.DeleteOptions{}, err
	}
	opts, ok := object.(*metav1.DeleteOptions)
	if !ok {
		return metav1.DeleteOptions{}, apierrors.NewBadRequest(fmt.Sprintf("delete options are needed, not a %T", object))
	}
	return *opts, nil
}

func decode(header http.Header, content []byte, kind schema.GroupVersionKind) (runtime.Object, *apierrors.StatusError) {
	mediaType, _, _ := mime.ParseMediaType(header.Get("Content-Type"))
	switch mediaType {
	case "", runtime.ContentTypeJSON, runtime.ContentTypeProtobuf:
	default:
		return nil, unsupportedMedia(strings.Join([]string{runtime.ContentTypeJSON, runtime.ContentTypeProtobuf}, ", "))
	}
	object, _, err := scheme.Codecs.UniversalDeserializer().Decode(content, &kind, nil)
	if err != nil {
		return nil, apierrors.NewBadRequest(errors.Join(errors.New("unable to decode the body"), err).Error())
	}
	return object, nil
}
