// SPDX-License-Identifier: Apache-2.0

package podclient

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/flowcontrol"

	"github.com/executorpods/watchsource/internal/failure"
	"github.com/executorpods/watchsource/internal/podmeta"
	"github.com/executorpods/watchsource/internal/shard"
)

// podRequest prepares a request as client-go's typed client does (gentype).
func podRequest(client rest.Interface, namespace string, options metav1.ListOptions) *rest.Request {
	var timeout time.Duration
	if options.TimeoutSeconds != nil {
		timeout = time.Duration(*options.TimeoutSeconds) * time.Second
	}
	return client.Get().
		UseProtobufAsDefault().
		NamespaceIfScoped(namespace, namespace != metav1.NamespaceAll).
		Resource("pods").
		VersionedParams(&options, scheme.ParameterCodec).
		Timeout(timeout).
		MaxRetries(0)
}

// uncompressed asks for a stream that is not compressed. kube-apiserver 1.37 and later compresses a
// streaming list, and each later event of it again for each watch.
func uncompressed(request *rest.Request) *rest.Request {
	return request.SetHeader("Accept-Encoding", "identity")
}

// dropManagedFields is the parameter by which kube-apiserver 1.38 omits managedFields (KEP-5958).
// Servers that do not know a parameter ignore it.
const dropManagedFields = ";drop=metadata.managedFields"

// unmanaged returns an Accept header that asks for each media type without managedFields first,
// and then without the parameter, for a proxy or a server that knows no parameters.
func unmanaged(accept string) string {
	var types []string
	for mediaType := range strings.SplitSeq(accept, ",") {
		name, params, has := strings.Cut(mediaType, ";")
		without := name + dropManagedFields
		if has {
			without += ";" + params
		}
		types = append(types, without, mediaType)
	}
	return strings.Join(types, ",")
}

// shardParameter is the parameter of a list or a watch that selects a shard (KEP-5866). A server
// that does not know it, or whose feature gate ShardedListAndWatch is off, ignores it and says
// nothing of that. So package podwatch drops the pods of other shards, whatever the server does. A
// continue token does not contain the shard: each page of a list has the parameter.
const shardParameter = "shardSelector"

// inShard adds the parameter to a request.
func inShard(request *rest.Request, r *shard.Range) *rest.Request {
	if r == nil {
		return request
	}
	return request.Param(shardParameter, r.Selector())
}

// shardedOptions adds the parameter to the options of a client that makes the request by itself.
// ListOptions has the field since Kubernetes 1.36. With an older module the parameter is not
// sent.
func shardedOptions(options metav1.ListOptions, r *shard.Range) metav1.ListOptions {
	if r == nil {
		return options
	}
	if field := reflect.ValueOf(&options).Elem().FieldByName("ShardSelector"); field.IsValid() && field.Kind() == reflect.String {
		field.SetString(r.Selector())
	}
	return options
}

// CheckTimeout is how long the API server may take to answer a check of its version.
const CheckTimeout = 20 * time.Second

// A version is read from an empty list, of one name in one namespace, which the
// API server looks up by its key. A client that watches all namespaces may list
// in any of them.
const versionName = "watchsource-version"

// unlimited is the rate limit of a watch, and of a version check, which belongs to the watch that it
// delays.
var unlimited = flowcontrol.NewFakeAlwaysRateLimiter()

// askVersion prepares a request for the server's version. The server is asked to answer within
// CheckTimeout, so that it says the cause before the client gives up. Request.Timeout would
// end the request on both sides at once.
func askVersion(client rest.Interface, namespace, selector string) *rest.Request {
	return podRequest(client, VersionNamespace(namespace), versionOptions(selector)).
		Param("timeout", CheckTimeout.String()).
		Throttle(unlimited)
}

// VersionNamespace returns the namespace of which a client asks the version that watches a
// namespace.
func VersionNamespace(namespace string) string { return cmp.Or(namespace, metav1.NamespaceDefault) }

func versionOptions(selector string) metav1.ListOptions {
	return metav1.ListOptions{LabelSelector: selector, FieldSelector: "metadata.name=" + versionName}
}

func versionOf(list runtime.Object, err error) (string, error) {
	if err != nil {
		return "", err
	}
	accessor, err := meta.ListAccessor(list)
	if err != nil {
		return "", fmt.Errorf("%w: %w", failure.ErrNotUnderstood, err)
	}
	return accessor.GetResourceVersion(), nil
}

const asMetadata = ";as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

// The Accept headers with which metadata is asked for, without managedFields, which are most of
// it. A server or a proxy that does not know these media types answers with whole pods, of which
// the metadata is read.
var (
	jsonMetadata     = unmanaged(runtime.ContentTypeJSON + asMetadata + "," + runtime.ContentTypeJSON)
	protobufMetadata = unmanaged(runtime.ContentTypeProtobuf+asMetadata) + "," + jsonMetadata
)

// metadata lists the metadata of pods, one page.
func metadata(ctx context.Context, request *rest.Request, accept string) (*podmeta.Page, error) {
	result := request.SetHeader("Accept", accept).Do(ctx)
	if err := result.Error(); err != nil {
		return nil, err
	}
	body, err := result.Raw()
	if err != nil {
		return nil, err
	}
	page, err := podmeta.Read(body)
	if err != nil {
		return nil, fmt.Errorf("%w: a list of metadata: %w", failure.ErrNotUnderstood, err)
	}
	return page, nil
}
