// SPDX-License-Identifier: Apache-2.0

package watchtest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"sort"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// validate checks the options of a LIST or WATCH with the API server's validation code, and
// sets the API server's defaults.
func (c *call) validate(streamingLists bool) *apierrors.StatusError {
	if c.Verb&(List|Watch|StreamingList) == 0 {
		return nil
	}
	opts := internalversion.ListOptions{
		Watch:                c.opts.Watch,
		ResourceVersion:      c.opts.ResourceVersion,
		ResourceVersionMatch: c.opts.ResourceVersionMatch,
		Continue:             c.opts.Continue,
		SendInitialEvents:    c.opts.SendInitialEvents,
	}
	internalversion.SetListOptionsDefaults(&opts, streamingLists)
	if errs := validation.ValidateListOptions(&opts, streamingLists); len(errs) > 0 {
		return apierrors.NewInvalid(schema.GroupKind{Group: metav1.GroupName, Kind: "ListOptions"}, "", errs)
	}
	c.opts.ResourceVersionMatch = opts.ResourceVersionMatch
	c.opts.SendInitialEvents = opts.SendInitialEvents
	return nil
}

// parseVersion parses a resource version. The empty version is 0.
func parseVersion(version string) (uint64, *apierrors.StatusError) {
	if version == "" {
		return 0, nil
	}
	parsed, err := strconv.ParseUint(version, 10, 64)
	if err != nil {
		return 0, apierrors.NewBadRequest(fmt.Sprintf("invalid resource version: %v", err))
	}
	return parsed, nil
}

// list executes a LIST. The caller holds mu.
func (s *Server) list(c *call) (*corev1.PodList, *apierrors.StatusError) {
	version, start, err := s.listStart(c.opts)
	if err != nil {
		return nil, err
	}
	pods := s.store.at(version)
	first := sort.Search(len(pods), func(i int) bool { return keyOf(pods[i]) >= start })
	list := &corev1.PodList{
		TypeMeta: metav1.TypeMeta{Kind: "PodList", APIVersion: "v1"},
		ListMeta: metav1.ListMeta{ResourceVersion: versionString(version)},
		Items:    []corev1.Pod{},
	}
	limit := limitOf(c.opts)
	for i := first; i < len(pods); i++ {
		if !c.selection.matches(pods[i]) {
			continue
		}
		if limit > 0 && int64(len(list.Items)) == limit {
			list.Continue = continueToken{Version: int64(version), Start: keyOf(pods[i])}.String()
			if c.selection.everything() {
				list.RemainingItemCount = new(remaining(pods[i:], c.selection))
			}
			break
		}
		list.Items = append(list.Items, *pods[i])
	}
	return list, nil
}

func remaining(pods []*corev1.Pod, sel selection) int64 {
	var n int64
	for _, pod := range pods {
		if sel.matches(pod) {
			n++
		}
	}
	return n
}

// limitOf returns the size of a page, 0 for no limit. A LIST from version "0", which a real
// server answers from the watch cache, has no limit.
func limitOf(opts metav1.ListOptions) int64 {
	if opts.ResourceVersion == "0" && opts.Continue == "" {
		return 0
	}
	return opts.Limit
}

// listStart returns the version that a LIST shows, and the key of its first pod.
func (s *Server) listStart(opts metav1.ListOptions) (uint64, string, *apierrors.StatusError) {
	if opts.Continue != "" {
		return s.pageStart(opts)
	}
	requested, err := parseVersion(opts.ResourceVersion)
	switch {
	case err != nil:
		return 0, "", err
	case requested > s.store.version:
		return 0, "", tooLarge(requested, s.store.version)
	case !isExact(opts) || requested == 0:
		return s.store.version, "", nil
	case requested < s.store.compacted:
		return 0, "", apierrors.NewResourceExpired("The resourceVersion for the provided list is too old.")
	default:
		return requested, "", nil
	}
}

// isExact reports whether a LIST requests exactly its version, not one at least as new. It
// does with the match Exact and, for compatibility, with a limit and no match.
func isExact(opts metav1.ListOptions) bool {
	return opts.ResourceVersionMatch == metav1.ResourceVersionMatchExact ||
		opts.ResourceVersionMatch == "" && opts.Limit > 0
}

func (s *Server) pageStart(opts metav1.ListOptions) (uint64, string, *apierrors.StatusError) {
	token, err := parseContinue(opts.Continue)
	if err != nil {
		return 0, "", apierrors.NewBadRequest(fmt.Sprintf("invalid continue token: %v", err))
	}
	if opts.ResourceVersion != "" && opts.ResourceVersion != "0" {
		return 0, "", apierrors.NewBadRequest("specifying resource version is not allowed when using continue")
	}
	switch version := uint64(token.Version); {
	case token.Version < 0:
		return s.store.version, token.Start, nil
	case version > s.store.version:
		return 0, "", tooLarge(version, s.store.version)
	case version < s.store.compacted:
		return 0, "", continueExpired(token)
	default:
		return version, token.Start, nil
	}
}

// continueExpired returns the API server's error for an expired token. It contains a new
// token, with which the client can continue the list at the newest version.
func continueExpired(token continueToken) *apierrors.StatusError {
	err := apierrors.NewResourceExpired("The provided continue parameter is too old " +
		"to display a consistent list result. You can start a new list without " +
		"the continue parameter, or use the continue token in this response to " +
		"retrieve the remainder of the results. Continuing with the provided " +
		"token results in an inconsistent list - objects that were created, " +
		"modified, or deleted between the time the first chunk was returned " +
		"and now may show up in the list.")
	err.ErrStatus.Continue = continueToken{Version: -1, Start: token.Start}.String()
	return err
}

// continueToken says where the next page starts, in the API server's format.
type continueToken struct {
	APIVersion string `json:"v"`
	Version    int64  `json:"rv"` // negative for the newest version
	Start      string `json:"start"`
}

const continueAPIVersion = "meta.k8s.io/v1"

func (t continueToken) String() string {
	t.APIVersion = continueAPIVersion
	encoded, err := json.Marshal(t)
	if err != nil {
		panic(fmt.Sprintf("watchtest: encode a continue token: %v", err))
	}
	return base64.RawURLEncoding.EncodeToString(encoded)
}

func parseContinue(token string) (continueToken, error) {
	var t continueToken
	decoded, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return t, fmt.Errorf("continue key is not valid: %w", err)
	}
	if err := json.Unmarshal(decoded, &t); err != nil {
		return t, fmt.Errorf("continue key is not valid: %w", err)
	}
	if t.APIVersion != continueAPIVersion || t.Version == 0 || t.Start == "" {
		return t, fmt.Errorf("continue key is not valid")
	}
	return t, nil
}
