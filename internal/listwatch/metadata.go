// SPDX-License-Identifier: Apache-2.0

package listwatch

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
)

// The media types in which metadata is asked for. A server or a proxy that does not know them
// answers with whole pods, of which the metadata is read.
const (
	asMetadata       = ";as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
	jsonMetadata     = runtime.ContentTypeJSON + asMetadata + "," + runtime.ContentTypeJSON
	protobufMetadata = runtime.ContentTypeProtobuf + asMetadata + "," + jsonMetadata
)

// metadata lists the metadata of pods.
func metadata(ctx context.Context, client rest.Interface, namespace, accept string, options metav1.ListOptions) (*metav1.PartialObjectMetadataList, error) {
	result := podRequest(client, namespace, options).SetHeader("Accept", accept).Do(ctx)
	if err := result.Error(); err != nil {
		return nil, err
	}
	body, err := result.Raw()
	if err != nil {
		return nil, err
	}
	list, err := readMetadata(body)
	if err != nil {
		return nil, fmt.Errorf("%w: a list of metadata: %w", ErrNotUnderstood, err)
	}
	return list, nil
}

var protobufPrefix = []byte("k8s\x00")

// readMetadata reads the metadata of a list of pods. The fields of whole pods that it does not
// know it leaves out.
func readMetadata(body []byte) (*metav1.PartialObjectMetadataList, error) {
	list := new(metav1.PartialObjectMetadataList)
	kind := &list.TypeMeta
	if raw, ok := bytes.CutPrefix(body, protobufPrefix); ok {
		var envelope runtime.Unknown
		if err := envelope.Unmarshal(raw); err != nil {
			return nil, err
		}
		*kind = metav1.TypeMeta{Kind: envelope.Kind, APIVersion: envelope.APIVersion}
		if err := list.Unmarshal(envelope.Raw); err != nil {
			return nil, err
		}
	} else if err := json.Unmarshal(body, list); err != nil {
		return nil, err
	}
	if kind.Kind != "PartialObjectMetadataList" && kind.Kind != "PodList" {
		return nil, fmt.Errorf("kind %q", kind.Kind)
	}
	if list.ResourceVersion == "" {
		return nil, fmt.Errorf("no resource version")
	}
	return list, nil
}
