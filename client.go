// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	"github.com/executorpods/watchsource/internal/podwire"
)

// podClient lists and watches the pods of a namespace, or of all.
type podClient interface {
	List(ctx context.Context, options metav1.ListOptions) (runtime.Object, error)
	Watch(ctx context.Context, options metav1.ListOptions) (events, error)
}

// typedPods is the client as it was handed in.
type typedPods struct{ typedcorev1.PodInterface }

func (c typedPods) List(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
	return c.PodInterface.List(ctx, options)
}

func (c typedPods) Watch(ctx context.Context, options metav1.ListOptions) (events, error) {
	ctx, cancel := context.WithCancel(ctx)
	w, err := c.PodInterface.Watch(ctx, options)
	if err != nil {
		cancel()
		return nil, err
	}
	return &clientEvents{w, ctx, cancel}, nil
}

// wirePods sends the same requests over the same connections, and reads the
// answers with a decoder of its own.
type wirePods struct {
	negotiator *podwire.Negotiator
	lists      *rest.RESTClient
	watches    *rest.RESTClient // without a rate limit, as client-go's watches are
	namespace  string
}

func (c *wirePods) List(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
	return c.get(c.lists, options).Do(ctx).Get()
}

// Watch asks for the body and not for client-go's watch of it, which would be
// read in a goroutine of its own, ends in silence where the connection is cut, and
// is opened without an error where there was no answer.
func (c *wirePods) Watch(ctx context.Context, options metav1.ListOptions) (events, error) {
	options.Watch = true
	body, err := c.get(c.watches, options).Stream(ctx)
	if err != nil {
		return nil, err
	}
	return newWireEvents(ctx, c.negotiator.Stream(body)), nil
}

// get prepares a request as client-go's typed client does (gentype).
func (c *wirePods) get(client *rest.RESTClient, options metav1.ListOptions) *rest.Request {
	var timeout time.Duration
	if options.TimeoutSeconds != nil {
		timeout = time.Duration(*options.TimeoutSeconds) * time.Second
	}
	return client.Get().
		NamespaceIfScoped(c.namespace, c.namespace != metav1.NamespaceAll).
		Resource("pods").
		VersionedParams(&options, scheme.ParameterCodec).
		Timeout(timeout)
}

// corePath is where the core group is found under the address of an API server.
const corePath = "/api/v1"

// newWirePods makes the second client from the parts of the first that can be
// reached: its HTTP client, with all that is in it, its address and its rate
// limit. It fails with the reason why the client must do by itself.
func newWirePods(client kubernetes.Interface, namespace string, form podwire.Form, note func(mediaType string)) (*wirePods, error) {
	core, ok := client.CoreV1().(*typedcorev1.CoreV1Client)
	if !ok {
		return nil, fmt.Errorf("it is a %T", client.CoreV1())
	}
	theirs, ok := core.RESTClient().(*rest.RESTClient)
	if !ok || theirs == nil {
		return nil, fmt.Errorf("its REST client is a %T", core.RESTClient())
	}
	if accept := accepted(theirs); !strings.HasPrefix(accept, runtime.ContentTypeProtobuf) {
		return nil, fmt.Errorf("it asks for %s", accept)
	}
	if handler := setting(theirs, "warningHandler"); handler.Kind() != reflect.Interface || !handler.IsNil() {
		return nil, errors.New("it has a warning handler of its own")
	}
	address := theirs.Get().URL()
	prefix, ok := strings.CutSuffix(address.Path, corePath)
	if !ok {
		return nil, fmt.Errorf("its path is %s", address.Path)
	}
	address.Path = prefix
	codecs := rest.CodecFactoryForGeneratedClient(scheme.Scheme, scheme.Codecs).WithoutConversion()
	negotiator := podwire.NewNegotiator(runtime.NewClientNegotiator(codecs, corev1.SchemeGroupVersion), form, note)
	content := rest.ClientContentConfig{
		AcceptContentTypes: runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON,
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
	return &wirePods{negotiator: negotiator, lists: lists, watches: watches, namespace: namespace}, nil
}

// accepted is the media type that a client's requests for pods ask for.
func accepted(client *rest.RESTClient) string {
	return cmp.Or(
		setting(client, "content", "base", "AcceptContentTypes").String(),
		setting(client, "content", "base", "ContentType").String(),
		runtime.ContentTypeProtobuf, // see UseProtobufAsDefault
	)
}

// setting looks at a field of a client that client-go keeps to itself. Where a
// version of client-go has no such field the value is not valid, which is no
// answer that is looked for.
func setting(client *rest.RESTClient, path ...string) reflect.Value {
	value := reflect.ValueOf(client).Elem()
	for _, name := range path {
		if value.Kind() != reflect.Struct {
			return reflect.Value{}
		}
		value = value.FieldByName(name)
	}
	return value
}
