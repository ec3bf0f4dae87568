// SPDX-License-Identifier: Apache-2.0

package listwatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/executorpods/watchsource/internal/failure"
	"github.com/executorpods/watchsource/internal/podwire"
)

const asMetadata = ";as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

// The Accept headers with which metadata is asked for, without managedFields, which are most of
// it. A server or a proxy that does not know these media types answers with whole pods, of which
// the metadata is read.
var (
	jsonMetadata     = unmanaged(runtime.ContentTypeJSON + asMetadata + "," + runtime.ContentTypeJSON)
	protobufMetadata = unmanaged(runtime.ContentTypeProtobuf+asMetadata) + "," + jsonMetadata
)

// A versionPage is one page of a list of metadata.
type versionPage struct {
	metav1.ListMeta
	pods podVersions
}

// metadata lists the metadata of pods, one page.
func metadata(ctx context.Context, request *rest.Request, accept string) (*versionPage, error) {
	result := request.SetHeader("Accept", accept).Do(ctx)
	if err := result.Error(); err != nil {
		return nil, err
	}
	body, err := result.Raw()
	if err != nil {
		return nil, err
	}
	page, err := readMetadata(body)
	if err != nil {
		return nil, fmt.Errorf("%w: a list of metadata: %w", failure.ErrNotUnderstood, err)
	}
	return page, nil
}

// jsonList is what a verification reads of a list in JSON.
type jsonList struct {
	Kind     string          `json:"kind"`
	Metadata metav1.ListMeta `json:"metadata"`
	Items    []struct {
		Metadata struct {
			Namespace       string    `json:"namespace"`
			Name            string    `json:"name"`
			UID             types.UID `json:"uid"`
			ResourceVersion string    `json:"resourceVersion"`
		} `json:"metadata"`
	} `json:"items"`
}

// readMetadata reads a list of metadata, or of whole pods.
func readMetadata(body []byte) (*versionPage, error) {
	page := &versionPage{pods: podVersions{}}
	var kind string
	if podwire.IsProtobuf(body) {
		var pods []podwire.Identity
		var err error
		if kind, page.ListMeta, pods, err = podwire.ReadIdentities(body); err != nil {
			return nil, err
		}
		for _, pod := range pods {
			page.put(pod.Namespace, pod.Name, pod.UID, pod.ResourceVersion)
		}
	} else {
		var list jsonList
		if err := json.Unmarshal(body, &list); err != nil {
			return nil, err
		}
		kind, page.ListMeta = list.Kind, list.Metadata
		for _, item := range list.Items {
			page.put(item.Metadata.Namespace, item.Metadata.Name, item.Metadata.UID, item.Metadata.ResourceVersion)
		}
	}
	if kind != "PartialObjectMetadataList" && kind != "PodList" {
		return nil, fmt.Errorf("kind %q", kind)
	}
	if page.ResourceVersion == "" {
		return nil, errors.New("no resource version")
	}
	return page, nil
}

func (p *versionPage) put(namespace, name string, uid types.UID, resourceVersion string) {
	p.pods[podKey{types.NamespacedName{Namespace: namespace, Name: name}, uid}] = resourceVersion
}
