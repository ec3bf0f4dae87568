// SPDX-License-Identifier: Apache-2.0

package clientset

import (
	"cmp"
	"fmt"
	"reflect"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
)

// Settings are those of a REST client that client-go keeps in unexported fields.
type Settings struct {
	// Accept is rest.ContentConfig.AcceptContentTypes.
	Accept string
	// ContentType is rest.ContentConfig.ContentType.
	ContentType string
}

// SettingsOf reads the settings of a REST client by reflection. The error names a field that this
// client-go does not have, or has as another kind. The caller then uses client-go's own decoder.
func SettingsOf(client *rest.RESTClient) (Settings, error) {
	accept, acceptErr := field(client, "content.base.AcceptContentTypes", reflect.String)
	contentType, contentErr := field(client, "content.base.ContentType", reflect.String)
	if err := cmp.Or(acceptErr, contentErr); err != nil {
		return Settings{}, err
	}
	return Settings{Accept: accept.String(), ContentType: contentType.String()}, nil
}

// field returns the value of an unexported field, which must be of a kind.
func field(client *rest.RESTClient, path string, kind reflect.Kind) (reflect.Value, error) {
	value := reflect.ValueOf(client).Elem()
	for name := range strings.SplitSeq(path, ".") {
		owner := value.Type()
		if owner.Kind() == reflect.Struct {
			value = value.FieldByName(name)
		}
		if owner.Kind() != reflect.Struct || !value.IsValid() {
			return reflect.Value{}, fmt.Errorf("client-go's %v has no field %s, for %s", owner, name, path)
		}
	}
	if value.Kind() != kind {
		return reflect.Value{}, fmt.Errorf("client-go's field %s is a %v, not a %v", path, value.Type(), kind)
	}
	return value, nil
}

// DefaultAccept is what client-go's typed client asks for if nothing else is configured (rest,
// UseProtobufAsDefault).
const DefaultAccept = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON

// AcceptHeader returns the Accept header of the typed client's requests for pods.
func (s Settings) AcceptHeader() string {
	switch {
	case s.Accept != "":
		return s.Accept
	case s.ContentType != "":
		return s.ContentType + ", */*"
	default:
		return DefaultAccept
	}
}
