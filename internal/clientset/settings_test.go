// SPDX-License-Identifier: Apache-2.0

package clientset

import (
	"reflect"
	"slices"
	"testing"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const protobufFirst = "application/vnd.kubernetes.protobuf,application/json"

func restClient(t *testing.T, config rest.Config) *rest.RESTClient {
	t.Helper()
	config.Host = "https://192.0.2.1"
	client, err := kubernetes.NewForConfig(&config)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := RESTClient(client)
	if err != nil {
		t.Fatal(err)
	}
	return theirs
}

// A client-go that has renamed a field, or keeps its value elsewhere, must not go unnoticed:
// pods are then decoded by client-go, at several times the cost.
func TestSettingsOfClientGo(t *testing.T) {
	for _, test := range []struct {
		name   string
		config rest.Config
		want   Settings
	}{
		{"accept", rest.Config{ContentConfig: rest.ContentConfig{AcceptContentTypes: protobufFirst}}, Settings{Accept: protobufFirst}},
		{"content type", rest.Config{ContentConfig: rest.ContentConfig{ContentType: "application/json"}}, Settings{ContentType: "application/json"}},
		{"none", rest.Config{WarningHandler: rest.NoWarnings{}}, Settings{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := SettingsOf(restClient(t, test.config))
			if err != nil {
				t.Fatal(err)
			}
			if got != test.want {
				t.Errorf("settings %+v, want %+v", got, test.want)
			}
		})
	}
}

// Each setting of a client holds for all its requests, and so for those of package podclient. But
// that package asks for media types by itself and decodes the answers by itself: a client-go with
// another field needs a decision there.
func TestNoSettingIsForgotten(t *testing.T) {
	known := []string{
		"RESTClient.base", "RESTClient.versionedAPIPath", "RESTClient.Client", // of each request
		"RESTClient.createBackoffMgr", "RESTClient.warningHandler", // of each request
		"RESTClient.rateLimiter",                                            // of each request but watches and checks
		"RESTClient.content",                                                // the following
		"ClientContentConfig.AcceptContentTypes",                            // read
		"ClientContentConfig.ContentType",                                   // read
		"ClientContentConfig.GroupVersion",                                  // of each request
		"ClientContentConfig.Negotiator",                                    // for refusals, and for media types not known here
		"ClientContentConfig.DropManagedFields",                             // 0.38: asked for in any case, and not read here
		"requestClientContentConfigProvider.base",                           // read
		"requestClientContentConfigProvider.sawUnsupportedMediaTypeForCBOR", // no CBOR
	}
	client := reflect.TypeFor[rest.RESTClient]()
	content, ok := client.FieldByName("content")
	if !ok {
		t.Fatal("rest.RESTClient has no field content")
	}
	for _, owner := range []reflect.Type{client, content.Type, reflect.TypeFor[rest.ClientContentConfig]()} {
		for field := range owner.Fields() {
			if name := owner.Name() + "." + field.Name; !slices.Contains(known, name) {
				t.Errorf("client-go has the new field %s", name)
			}
		}
	}
}

// The error names the field, which the log shows as the reason.
func TestMissingSettings(t *testing.T) {
	theirs := restClient(t, rest.Config{})
	for path, want := range map[string]string{
		"handler":                   "client-go's rest.RESTClient has no field handler, for handler",
		"contents.base.ContentType": "client-go's rest.RESTClient has no field contents, for contents.base.ContentType",
		"content.base.Type":         "client-go's rest.ClientContentConfig has no field Type, for content.base.Type",
		"Client.name":               "client-go's *http.Client has no field name, for Client.name",
		"content.base":              "client-go's field content.base is a rest.ClientContentConfig, not a string",
	} {
		value, err := field(theirs, path, reflect.String)
		if err == nil || err.Error() != want || value.IsValid() {
			t.Errorf("%s: %v, %v, want the error %q", path, value, err, want)
		}
	}
}
