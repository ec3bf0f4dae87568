// SPDX-License-Identifier: Apache-2.0

package watchtest

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
)

// A Verb is the operation of a request. Each request has exactly one. Join verbs with | to
// select several.
type Verb uint16

// The verbs. A streaming list is a WATCH with sendInitialEvents=true, which begins with the
// pods that a LIST would return. Watch is every other WATCH.
const (
	Get Verb = 1 << iota
	List
	Watch
	StreamingList
	Create
	Update
	Patch
	Delete
	DeleteCollection

	otherVerb Verb = 0 // a path or method that the server does not support
)

var verbNames = []string{
	"get", "list", "watch", "streaming list", "create", "update", "patch", "delete", "delete collection",
}

// String returns the name of the verb. It joins several with "|".
func (v Verb) String() string {
	var names []string
	for i, name := range verbNames {
		if v&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	if names == nil {
		return "other"
	}
	return strings.Join(names, "|")
}

// A Request is a request that the server has received.
type Request struct {
	Time        time.Time
	Verb        Verb
	Namespace   string // empty for all namespaces
	Name        string // empty for a collection
	Subresource string // "status" or empty

	// Options of a LIST, WATCH or delete collection: selectors, resource
	// version, limit, continue, timeout.
	Options metav1.ListOptions
	// ShardSelector is the parameter shardSelector of a LIST or a WATCH. ListOptions has such a
	// field since Kubernetes 1.36.
	ShardSelector string

	Header http.Header
}

// call is a request that the server is processing.
type call struct {
	Request
	http      *http.Request
	media     *media
	selection selection
	opts      metav1.ListOptions // Options with the defaults of the server
}

// newCall parses a request. It always returns a call, which the server can record and apply
// faults to, also with an error. managedOptOut says that the server can omit managedFields.
func newCall(req *http.Request, managedOptOut bool) (*call, *apierrors.StatusError) {
	c := &call{http: req, Request: Request{Time: time.Now(), Header: req.Header.Clone()}}
	var ok bool
	if c.media, ok = negotiate(req.Header, managedOptOut); !ok {
		c.media = jsonMedia
		return c, notAcceptable()
	}
	if !c.readPath(req.URL.Path) {
		return c, unknownPath(req.URL.Path)
	}
	query := req.URL.Query()
	c.ShardSelector = query.Get("shardSelector")
	if err := scheme.ParameterCodec.DecodeParameters(query, corev1.SchemeGroupVersion, &c.Options); err != nil {
		return c, apierrors.NewBadRequest(err.Error())
	}
	if !c.readVerb(req.Method) {
		return c, apierrors.NewMethodNotSupported(podResource, strings.ToLower(req.Method))
	}
	if !c.media.fits(c.Verb) {
		c.media = jsonMedia
		return c, notAcceptable()
	}
	c.opts = c.Options
	var err *apierrors.StatusError
	c.selection, err = newSelection(c.Namespace, c.Options)
	return c, err
}

// readPath parses /api/v1/pods and /api/v1/namespaces/NS/pods[/NAME[/status]]. It ignores a
// prefix before /api/v1, which belongs to the address of the server.
func (c *call) readPath(path string) bool {
	_, rest, found := strings.Cut(path, "/api/v1/")
	if !found {
		return false
	}
	parts := strings.Split(rest, "/")
	if len(parts) >= 3 && parts[0] == "namespaces" && parts[1] != "" {
		c.Namespace, parts = parts[1], parts[2:]
	} else if len(parts) != 1 {
		return false
	}
	if parts[0] != "pods" || len(parts) > 3 {
		return false
	}
	if len(parts) > 1 {
		c.Name = parts[1]
	}
	if len(parts) > 2 {
		c.Subresource = parts[2]
	}
	return c.Subresource == "" || c.Subresource == "status"
}

func (c *call) readVerb(method string) bool {
	collection, named := map[string]Verb{
		http.MethodPost:   Create,
		http.MethodDelete: DeleteCollection,
		http.MethodGet:    c.listVerb(),
	}, map[string]Verb{
		http.MethodGet:    Get,
		http.MethodPut:    Update,
		http.MethodPatch:  Patch,
		http.MethodDelete: Delete,
	}
	if c.Name == "" {
		c.Verb = collection[method]
	} else {
		c.Verb = named[method]
	}
	return c.Verb != otherVerb
}

func (c *call) listVerb() Verb {
	switch {
	case !c.Options.Watch:
		return List
	case c.Options.SendInitialEvents != nil && *c.Options.SendInitialEvents:
		return StreamingList
	default:
		return Watch
	}
}

// String returns the request on one line.
func (r Request) String() string {
	where := "pods"
	if r.Namespace != "" {
		where = r.Namespace + "/pods"
	}
	if r.Name != "" {
		where += "/" + r.Name
	}
	if r.Subresource != "" {
		where += "/" + r.Subresource
	}
	line := fmt.Sprintf("%v %s", r.Verb, where)
	if r.Verb&(List|Watch|StreamingList) != 0 {
		line += fmt.Sprintf(" resourceVersion=%q", r.Options.ResourceVersion)
	}
	return line
}
