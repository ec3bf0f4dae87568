// SPDX-License-Identifier: Apache-2.0

// Package podmeta reads the resource versions of pods from lists of their metadata.
package podmeta

import (
	"encoding/json"
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/executorpods/watchsource/internal/podwire"
)

// A Key distinguishes pods that have one name in turn, also for fakes that give no UIDs.
type Key struct {
	types.NamespacedName
	UID types.UID
}

// KeyOf returns the key of a pod.
func KeyOf(pod *podwire.Pod) Key {
	return Key{types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}, pod.UID}
}

// Versions are the resource versions of pods.
type Versions map[Key]string

// A Page is one page of a list of metadata.
type Page struct {
	metav1.ListMeta
	Pods Versions
}

// Put notes the version of a pod.
func (p *Page) Put(namespace, name string, uid types.UID, resourceVersion string) {
	p.Pods[Key{types.NamespacedName{Namespace: namespace, Name: name}, uid}] = resourceVersion
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

// Read reads a list of metadata, or of whole pods.
func Read(body []byte) (*Page, error) {
	page := &Page{Pods: Versions{}}
	var kind string
	if podwire.IsProtobuf(body) {
		var pods []podwire.Identity
		var err error
		if kind, page.ListMeta, pods, err = podwire.ReadIdentities(body); err != nil {
			return nil, err
		}
		for _, pod := range pods {
			page.Put(pod.Namespace, pod.Name, pod.UID, pod.ResourceVersion)
		}
	} else {
		var list jsonList
		if err := json.Unmarshal(body, &list); err != nil {
			return nil, err
		}
		kind, page.ListMeta = list.Kind, list.Metadata
		for _, item := range list.Items {
			page.Put(item.Metadata.Namespace, item.Metadata.Name, item.Metadata.UID, item.Metadata.ResourceVersion)
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
