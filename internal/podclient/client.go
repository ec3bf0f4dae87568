// SPDX-License-Identifier: Apache-2.0

// Package podclient lists and watches pods with the client of the user.
package podclient

import (
	"context"
	"fmt"
	"mime"
	"strings"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	"github.com/executorpods/watchsource/internal/clientset"
	"github.com/executorpods/watchsource/internal/podmeta"
	"github.com/executorpods/watchsource/internal/podwire"
	"github.com/executorpods/watchsource/internal/shard"
)

// AnswerTimeout bounds how long a watch or a page of a list may take to be answered.
const AnswerTimeout = time.Minute

// A Client lists and watches the pods of a namespace, or of all.
type Client interface {
	// List lists pods, one page.
	List(ctx context.Context, options metav1.ListOptions) (runtime.Object, error)
	Watch(ctx context.Context, options metav1.ListOptions) (Events, error)
	// Version returns the newest resource version of the server.
	Version(ctx context.Context, selector string) (string, error)
	// Metadata lists the metadata of pods, one page.
	Metadata(ctx context.Context, options metav1.ListOptions) (*podmeta.Page, error)
}

// A Config says which pods a [Client] lists and watches, and how it decodes them.
type Config struct {
	Client kubernetes.Interface
	// Namespace is empty for all namespaces.
	Namespace string
	// Shard has the namespaces of the pods. It is nil for all.
	Shard *shard.Range
	// Form is that in which the pods are wanted.
	Form podwire.Form
	// Filter says which pods are read completely. It is nil for all.
	Filter *podwire.Filter
	// Known returns what the sink has of the pod with a UID, so that its next state can share it. It may be nil.
	Known  func(uid []byte) podwire.Known
	Logger logr.Logger
}

// New returns the cheapest client that the client of the user allows.
func New(c Config) Client {
	note := func(reason string) { c.Logger.V(4).Info("Pods are decoded by client-go", "reason", reason) }
	typed := &typedPods{
		PodInterface: c.Client.CoreV1().Pods(c.Namespace), version: c.Client.CoreV1().Pods(VersionNamespace(c.Namespace)),
		config: &c, fake: clientset.IsFake(c.Client),
	}
	if typed.fake {
		return typed // nothing is decoded
	}
	theirs, err := clientset.RESTClient(c.Client)
	if err != nil {
		note(err.Error())
		return typed
	}
	wire, err := newWirePods(theirs, &c, func(mediaType string) { note("an answer in " + mediaType) })
	if err != nil {
		note(err.Error())
		return newRestPods(theirs, &c)
	}
	return wire
}

// typedPods uses the client as the caller made it. client-go repeats a request
// up to ten times if the server asks to come later, and reports nothing of it.
type typedPods struct {
	typedcorev1.PodInterface
	version typedcorev1.PodInterface
	config  *Config
	fake    bool
}

func (c *typedPods) List(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
	return c.PodInterface.List(ctx, shardedOptions(options, c.config.Shard))
}

func (c *typedPods) Watch(ctx context.Context, options metav1.ListOptions) (Events, error) {
	options = shardedOptions(options, c.config.Shard)
	return newClientEvents(ctx, c.fake, func(ctx context.Context) (watch.Interface, error) { return c.PodInterface.Watch(ctx, options) })
}

func (c *typedPods) Version(ctx context.Context, selector string) (string, error) {
	list, err := c.version.List(ctx, versionOptions(selector))
	return versionOf(list, err)
}

// Metadata asks the REST client below a client that is wrapped, because the typed client has no
// list of metadata. A fake has no REST client, and lists pods.
func (c *typedPods) Metadata(ctx context.Context, options metav1.ListOptions) (*podmeta.Page, error) {
	if !c.fake {
		client := c.config.Client.CoreV1().RESTClient()
		return metadata(ctx, inShard(podRequest(client, c.config.Namespace, options), c.config.Shard), jsonMetadata)
	}
	pods, err := c.PodInterface.List(ctx, options)
	if err != nil {
		return nil, err
	}
	page := &podmeta.Page{ListMeta: pods.ListMeta, Pods: podmeta.Versions{}}
	for i := range pods.Items {
		page.Put(pods.Items[i].Namespace, pods.Items[i].Name, pods.Items[i].UID, pods.Items[i].ResourceVersion)
	}
	return page, nil
}

// restPods sends the requests that client-go's typed client would send, but
// repeats none of them: the loop does, and reports why.
type restPods struct {
	client    *rest.RESTClient
	namespace string
	shard     *shard.Range
	// accept is the Accept header of a request, "" for the client's own.
	accept string
	// metadata is the Accept header of a list of metadata.
	metadata string
}

func newRestPods(client *rest.RESTClient, config *Config) *restPods {
	c := &restPods{client: client, namespace: config.Namespace, shard: config.Shard, metadata: jsonMetadata}
	if settings, err := clientset.SettingsOf(client); err == nil {
		accept := settings.AcceptHeader()
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

func (c *restPods) Watch(ctx context.Context, options metav1.ListOptions) (Events, error) {
	options.Watch = true
	return newClientEvents(ctx, false, uncompressed(c.request(options)).Watch)
}

func (c *restPods) Version(ctx context.Context, selector string) (string, error) {
	list := &corev1.PodList{}
	err := c.asking(askVersion(c.client, c.namespace, selector)).Do(ctx).Into(list)
	return versionOf(list, err)
}

func (c *restPods) Metadata(ctx context.Context, options metav1.ListOptions) (*podmeta.Page, error) {
	return metadata(ctx, c.request(options), c.metadata)
}

// wirePods sends the same requests, and reads the answers with the decoder of this library. The
// requests are those of the user's client, so all its settings hold, also those that client-go keeps
// in unexported fields: its address, its rate limit and its warning handler.
type wirePods struct {
	restPods
	negotiator *podwire.Negotiator
}

func (c *wirePods) List(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
	return c.decode(c.request(options).Do(ctx))
}

// Watch asks for the body instead of client-go's watch of it. That one is read in
// another goroutine, ends without an error if the connection is cut, and is
// opened without an error if there was no answer. It has no rate limit, as client-go's watches.
func (c *wirePods) Watch(ctx context.Context, options metav1.ListOptions) (Events, error) {
	options.Watch = true
	body, err := uncompressed(c.request(options)).Throttle(unlimited).Stream(ctx)
	if err != nil {
		return nil, err
	}
	return newWireEvents(ctx, c.negotiator.Stream(body)), nil
}

func (c *wirePods) Version(ctx context.Context, selector string) (string, error) {
	return versionOf(c.decode(c.asking(askVersion(c.client, c.namespace, selector)).Do(ctx)))
}

// decode decodes the answer to a list. client-go's decoder reads the refusals, and answers of a
// media type that this library does not know.
func (c *wirePods) decode(answer rest.Result) (runtime.Object, error) {
	var contentType string
	answer.ContentType(&contentType)
	body, err := answer.Raw()
	if err != nil {
		return answer.Get()
	}
	mediaType, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return answer.Get()
	}
	decoder, err := c.negotiator.Decoder(mediaType, params)
	if err != nil {
		return answer.Get()
	}
	object, err := runtime.Decode(decoder, body)
	if status, ok := object.(*metav1.Status); ok && status.Status != metav1.StatusSuccess {
		return nil, apierrors.FromObject(status)
	}
	return object, err
}

// newWirePods returns an error that says why client-go has to decode.
func newWirePods(client *rest.RESTClient, c *Config, note func(mediaType string)) (*wirePods, error) {
	settings, err := clientset.SettingsOf(client)
	if err != nil {
		return nil, err
	}
	if accept := settings.AcceptHeader(); !strings.HasPrefix(accept, runtime.ContentTypeProtobuf) {
		return nil, fmt.Errorf("it asks for %s", accept)
	}
	codecs := rest.CodecFactoryForGeneratedClient(scheme.Scheme, scheme.Codecs).WithoutConversion()
	clientGo := runtime.NewClientNegotiator(codecs, corev1.SchemeGroupVersion)
	pods := &wirePods{restPods: *newRestPods(client, c), negotiator: podwire.NewNegotiator(clientGo, c.Form, c.podFilter(), c.Known, note)}
	pods.accept = unmanaged(clientset.DefaultAccept)
	return pods, nil
}

// podFilter returns the filter of a decoder.
func (c *Config) podFilter() *podwire.Filter {
	if c.Shard == nil {
		return c.Filter
	}
	filter := podwire.Filter{Shard: c.Shard}
	if c.Filter != nil {
		filter.Label, filter.Wants = c.Filter.Label, c.Filter.Wants
	}
	return &filter
}
