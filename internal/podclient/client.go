// SPDX-License-Identifier: Apache-2.0

// Package podclient lists and watches pods with the client of the user.
package podclient

import (
	"context"
	"mime"
	"strings"
	"time"

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
	Known func(uid []byte) podwire.Known
	// Report is called with the decoder, by New and whenever the decoder changes. Any goroutine may
	// call it, also that of a request that was given up. It may be nil.
	Report func(Decoder)
}

// A Decoder says what decodes the pods: the decoder of this library, client-go's, or none.
type Decoder struct {
	// Fake is set for a client without a server, whose pods need no decoding.
	Fake bool
	// Reason says why client-go's decoder is used. It is empty if it is not.
	Reason string
	// Remedy says what the user can do about the reason.
	Remedy string
}

// String names the decoder, for a person and for the label of a metric.
func (d Decoder) String() string {
	switch {
	case d.Fake:
		return "fake"
	case d.Reason != "":
		return "client-go: " + d.Reason
	default:
		return "protobuf"
	}
}

const (
	wrappedRemedy   = "use a clientset that kubernetes.NewForConfig has returned, and rest.Config.Wrap for what the wrapper does"
	mediaTypeRemedy = "leave rest.Config.ContentType and AcceptContentTypes empty, or put " + runtime.ContentTypeProtobuf + " first"
	versionRemedy   = "use another version of client-go, or a newer one of watchsource"
	proxyRemedy     = "check what is between the client and the API server: it changes the header Accept"
	unusualRemedy   = "report the API server and its version to the authors of watchsource"
)

// answered returns the decoder of an answer. fallback is the media type of pods that client-go has
// decoded, or "".
func answered(fallback string) Decoder {
	switch fallback {
	case "":
		return Decoder{}
	case runtime.ContentTypeProtobuf:
		return Decoder{Reason: "the API server sends unusual protobuf", Remedy: unusualRemedy}
	default:
		return Decoder{Reason: "the API server answers in " + fallback, Remedy: proxyRemedy}
	}
}

// New returns the cheapest client that the client of the user allows.
func New(c Config) Client {
	if c.Report == nil {
		c.Report = func(Decoder) {}
	}
	client, decoder := c.choose()
	c.Report(decoder)
	return client
}

// choose returns the cheapest client, and what decodes its pods before the first answer.
func (c *Config) choose() (Client, Decoder) {
	typed := &typedPods{
		PodInterface: c.Client.CoreV1().Pods(c.Namespace), version: c.Client.CoreV1().Pods(VersionNamespace(c.Namespace)),
		config: c, fake: clientset.IsFake(c.Client),
	}
	if typed.fake {
		return typed, Decoder{Fake: true}
	}
	client, err := clientset.RESTClient(c.Client)
	if err != nil {
		return typed, Decoder{Reason: err.Error(), Remedy: wrappedRemedy}
	}
	settings, err := clientset.SettingsOf(client)
	if err != nil {
		return newRestPods(client, c, ""), Decoder{Reason: err.Error(), Remedy: versionRemedy}
	}
	accept := settings.AcceptHeader()
	if !strings.HasPrefix(accept, runtime.ContentTypeProtobuf) {
		return newRestPods(client, c, accept), Decoder{Reason: "the client asks for " + accept, Remedy: mediaTypeRemedy}
	}
	return newWirePods(client, c), Decoder{}
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

// newRestPods returns a client that asks for the media types of an Accept header. It is "" for the
// client's own.
func newRestPods(client *rest.RESTClient, config *Config, accept string) *restPods {
	c := &restPods{client: client, namespace: config.Namespace, shard: config.Shard, metadata: jsonMetadata}
	if accept != "" {
		c.accept = unmanaged(accept)
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

func newWirePods(client *rest.RESTClient, config *Config) *wirePods {
	codecs := rest.CodecFactoryForGeneratedClient(scheme.Scheme, scheme.Codecs).WithoutConversion()
	clientGo := runtime.NewClientNegotiator(codecs, corev1.SchemeGroupVersion)
	report := func(fallback string) { config.Report(answered(fallback)) }
	c := &wirePods{
		restPods:   *newRestPods(client, config, clientset.DefaultAccept),
		negotiator: podwire.NewNegotiator(clientGo, config.Form, config.podFilter(), config.Known, report),
	}
	c.metadata = protobufMetadata
	return c
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
