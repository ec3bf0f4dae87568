// SPDX-License-Identifier: Apache-2.0

package listwatch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/flowcontrol"

	"github.com/executorpods/watchsource/internal/failure"
	"github.com/executorpods/watchsource/internal/podwire"
	"github.com/executorpods/watchsource/internal/shard"
)

// podClient lists and watches the pods of a namespace, or of all.
type podClient interface {
	List(ctx context.Context, options metav1.ListOptions) (runtime.Object, error)
	Watch(ctx context.Context, options metav1.ListOptions) (events, error)
	// Version returns the newest resource version of the server.
	Version(ctx context.Context, selector string) (string, error)
	// Metadata lists the metadata of pods, one page.
	Metadata(ctx context.Context, options metav1.ListOptions) (*versionPage, error)
}

// newPodClient returns the cheapest client that the caller's client allows.
func newPodClient(c *Config, fake bool) podClient {
	note := func(reason string) { c.Logger.V(4).Info("Pods are decoded by client-go", "reason", reason) }
	typed := &typedPods{c.Client.CoreV1().Pods(c.Namespace), c.Client.CoreV1().Pods(versionNamespace(c.Namespace)), c}
	if fake {
		return typed // nothing is decoded
	}
	theirs, err := restClientOf(c.Client)
	if err != nil {
		note(err.Error())
		return typed
	}
	wire, err := newWirePods(theirs, c, func(mediaType string) { note("an answer in " + mediaType) })
	if err != nil {
		note(err.Error())
		return newRestPods(theirs, c)
	}
	return wire
}

// A version is read from an empty list, of one name in one namespace, which the
// API server looks up by its key. A client that watches all namespaces may list
// in any of them.
const versionName = "watchsource-version"

// unlimited is the rate limit of a version check, which belongs to the watch that it delays.
var unlimited = flowcontrol.NewFakeAlwaysRateLimiter()

// askVersion prepares a request for the server's version. The server is asked to answer within
// checkTimeout, so that it says what is wrong before the client gives up. Request.Timeout would
// end the request on both sides at once.
func askVersion(client rest.Interface, namespace, selector string) *rest.Request {
	return podRequest(client, versionNamespace(namespace), versionOptions(selector)).
		Param("timeout", checkTimeout.String()).
		Throttle(unlimited)
}

func versionNamespace(namespace string) string { return cmp.Or(namespace, metav1.NamespaceDefault) }

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

// typedPods uses the client as the caller made it. client-go repeats a request
// up to ten times if the server asks to come later, and reports nothing of it.
type typedPods struct {
	typedcorev1.PodInterface
	version typedcorev1.PodInterface
	config  *Config
}

func (c *typedPods) List(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
	return c.PodInterface.List(ctx, shardedOptions(options, c.config.Shard))
}

func (c *typedPods) Watch(ctx context.Context, options metav1.ListOptions) (events, error) {
	options = shardedOptions(options, c.config.Shard)
	return newClientEvents(ctx, func(ctx context.Context) (watch.Interface, error) { return c.PodInterface.Watch(ctx, options) })
}

func (c *typedPods) Version(ctx context.Context, selector string) (string, error) {
	list, err := c.version.List(ctx, versionOptions(selector))
	return versionOf(list, err)
}

// Metadata asks the REST client below a client that is wrapped, because the typed client has no
// list of metadata. A fake has no REST client, and lists pods.
func (c *typedPods) Metadata(ctx context.Context, options metav1.ListOptions) (*versionPage, error) {
	if client := c.config.Client.CoreV1().RESTClient(); !isNil(client) {
		return metadata(ctx, inShard(podRequest(client, c.config.Namespace, options), c.config.Shard), jsonMetadata)
	}
	pods, err := c.PodInterface.List(ctx, options)
	if err != nil {
		return nil, err
	}
	page := &versionPage{ListMeta: pods.ListMeta, pods: podVersions{}}
	for i := range pods.Items {
		page.put(pods.Items[i].Namespace, pods.Items[i].Name, pods.Items[i].UID, pods.Items[i].ResourceVersion)
	}
	return page, nil
}

// restPods sends the requests that client-go's typed client would send, but
// repeats none of them: the loop does, and reports why.
type restPods struct {
	client    *rest.RESTClient
	namespace string
	shard     *shard.Range
	accept    string // "" for the client's own Accept header
	metadata  string // Accept header of a list of metadata
}

func newRestPods(client *rest.RESTClient, config *Config) *restPods {
	c := &restPods{client: client, namespace: config.Namespace, shard: config.Shard, metadata: jsonMetadata}
	if accept, err := accepted(client); err == nil {
		c.accept = unmanaged(accept)
		if strings.HasPrefix(accept, runtime.ContentTypeProtobuf) {
			c.metadata = protobufMetadata
		}
	}
	return c
}

// request prepares a request for the pods of the shard.
func (c *restPods) request(options metav1.ListOptions) *rest.Request {
	return inShard(c.asking(podRequest(c.client, c.namespace, options)), c.shard)
}

// asking sets the Accept header of a request.
func (c *restPods) asking(request *rest.Request) *rest.Request {
	if c.accept != "" {
		request.SetHeader("Accept", c.accept)
	}
	return request
}

func (c *restPods) List(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
	list := &corev1.PodList{}
	return list, c.request(options).Do(ctx).Into(list)
}

func (c *restPods) Watch(ctx context.Context, options metav1.ListOptions) (events, error) {
	options.Watch = true
	return newClientEvents(ctx, uncompressed(c.request(options)).Watch)
}

func (c *restPods) Version(ctx context.Context, selector string) (string, error) {
	list := &corev1.PodList{}
	err := c.asking(askVersion(c.client, c.namespace, selector)).Do(ctx).Into(list)
	return versionOf(list, err)
}

func (c *restPods) Metadata(ctx context.Context, options metav1.ListOptions) (*versionPage, error) {
	return metadata(ctx, c.request(options), c.metadata)
}

// wirePods sends the same requests over the same connections, and reads the
// answers with a decoder of this library.
type wirePods struct {
	negotiator *podwire.Negotiator
	lists      *rest.RESTClient
	watches    *rest.RESTClient // without a rate limit, like client-go's watches
	namespace  string
	shard      *shard.Range
}

// request prepares a request for the pods of the shard.
func (c *wirePods) request(client *rest.RESTClient, options metav1.ListOptions) *rest.Request {
	return inShard(podRequest(client, c.namespace, options), c.shard)
}

func (c *wirePods) List(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
	return c.request(c.lists, options).Do(ctx).Get()
}

// Watch asks for the body instead of client-go's watch of it. That one is read in
// another goroutine, ends without an error if the connection is cut, and is
// opened without an error if there was no answer.
func (c *wirePods) Watch(ctx context.Context, options metav1.ListOptions) (events, error) {
	options.Watch = true
	body, err := uncompressed(c.request(c.watches, options)).Stream(ctx)
	if err != nil {
		return nil, err
	}
	return newWireEvents(ctx, c.negotiator.Stream(body)), nil
}

func (c *wirePods) Version(ctx context.Context, selector string) (string, error) {
	return versionOf(askVersion(c.lists, c.namespace, selector).Do(ctx).Get())
}

func (c *wirePods) Metadata(ctx context.Context, options metav1.ListOptions) (*versionPage, error) {
	return metadata(ctx, c.request(c.lists, options), protobufMetadata)
}

// podRequest prepares a request as client-go's typed client does (gentype).
func podRequest(client rest.Interface, namespace string, options metav1.ListOptions) *rest.Request {
	var timeout time.Duration
	if options.TimeoutSeconds != nil {
		timeout = time.Duration(*options.TimeoutSeconds) * time.Second
	}
	return client.Get().
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

// corePath is the path of the core group below the address of an API server.
const corePath = "/api/v1"

// restClientOf returns the REST client of an ordinary clientset, or an error that
// says why the clientset is not ordinary.
func restClientOf(client kubernetes.Interface) (*rest.RESTClient, error) {
	core, ok := client.CoreV1().(*typedcorev1.CoreV1Client)
	if !ok {
		return nil, fmt.Errorf("it is a %T", client.CoreV1())
	}
	theirs, ok := core.RESTClient().(*rest.RESTClient)
	if !ok || theirs == nil {
		return nil, fmt.Errorf("its REST client is a %T", core.RESTClient())
	}
	return theirs, nil
}

// clientTimeout is the time after which a client cuts each of its requests, 0 for none. It is
// that of rest.Config.Timeout.
func clientTimeout(client kubernetes.Interface) time.Duration {
	theirs, ok := client.CoreV1().RESTClient().(*rest.RESTClient)
	if !ok || theirs == nil || theirs.Client == nil {
		return 0
	}
	return theirs.Client.Timeout
}

// newWirePods makes a second client from the reachable parts of the first: its
// HTTP client with everything in it, its address and its rate limit. The error
// says why the first has to decode by itself.
func newWirePods(theirs *rest.RESTClient, c *Config, note func(mediaType string)) (*wirePods, error) {
	accept, err := accepted(theirs)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(accept, runtime.ContentTypeProtobuf) {
		return nil, fmt.Errorf("it asks for %s", accept)
	}
	handler, err := warningHandler.of(theirs)
	if err != nil {
		return nil, err
	}
	if !handler.IsNil() {
		return nil, errors.New("it has a warning handler of its own")
	}
	address := theirs.Get().URL()
	prefix, ok := strings.CutSuffix(address.Path, corePath)
	if !ok {
		return nil, fmt.Errorf("its path is %s", address.Path)
	}
	address.Path = prefix
	codecs := rest.CodecFactoryForGeneratedClient(scheme.Scheme, scheme.Codecs).WithoutConversion()
	negotiator := podwire.NewNegotiator(runtime.NewClientNegotiator(codecs, corev1.SchemeGroupVersion), c.Form, c.podFilter(), c.Known, note)
	content := rest.ClientContentConfig{
		AcceptContentTypes: unmanaged(defaultAccept),
		ContentType:        runtime.ContentTypeProtobuf,
		GroupVersion:       corev1.SchemeGroupVersion,
		Negotiator:         negotiator,
	}
	lists, err := rest.NewRESTClient(address, corePath, content, theirs.GetRateLimiter(), theirs.Client)
	if err != nil {
		return nil, err
	}
	watches, err := rest.NewRESTClient(address, corePath, content, nil, theirs.Client)
	if err != nil {
		return nil, err
	}
	return &wirePods{negotiator: negotiator, lists: lists, watches: watches, namespace: c.Namespace, shard: c.Shard}, nil
}

// defaultAccept is what client-go's typed client asks for if nothing else is configured (rest,
// UseProtobufAsDefault).
const defaultAccept = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON

// accepted returns the Accept header of the typed client's requests for pods.
func accepted(client *rest.RESTClient) (string, error) {
	accept, err := acceptContentTypes.of(client)
	if err != nil {
		return "", err
	}
	preferred, err := contentType.of(client)
	switch {
	case err != nil:
		return "", err
	case accept.String() != "":
		return accept.String(), nil
	case preferred.String() != "":
		return preferred.String() + ", */*", nil
	default:
		return defaultAccept, nil
	}
}

// dropManagedFields is the parameter by which kube-apiserver 1.38 omits managedFields (KEP-5958).
// Servers that do not know a parameter ignore it.
const dropManagedFields = ";drop=metadata.managedFields"

// unmanaged returns an Accept header that asks for each media type without managedFields first,
// and then as it is, for a proxy or a server that knows no parameters.
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

// A setting is an unexported field of a rest.RESTClient, which client-go shows in no other way.
type setting struct {
	path string
	kind reflect.Kind
}

// The settings that newWirePods reads.
var (
	acceptContentTypes = setting{"content.base.AcceptContentTypes", reflect.String}
	contentType        = setting{"content.base.ContentType", reflect.String}
	warningHandler     = setting{"warningHandler", reflect.Interface}
)

// of returns the value that a client has. The error names a field that this client-go does not
// have, or has as another kind. The caller then uses client-go's own decoder.
func (s setting) of(client *rest.RESTClient) (reflect.Value, error) {
	value := reflect.ValueOf(client).Elem()
	for name := range strings.SplitSeq(s.path, ".") {
		owner := value.Type()
		if owner.Kind() == reflect.Struct {
			value = value.FieldByName(name)
		}
		if owner.Kind() != reflect.Struct || !value.IsValid() {
			return reflect.Value{}, fmt.Errorf("client-go's %v has no field %s, for %s", owner, name, s.path)
		}
	}
	if value.Kind() != s.kind {
		return reflect.Value{}, fmt.Errorf("client-go's field %s is a %v, not a %v", s.path, value.Type(), s.kind)
	}
	return value, nil
}
