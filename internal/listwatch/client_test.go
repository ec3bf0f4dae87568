// SPDX-License-Identifier: Apache-2.0

package listwatch

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
	theirs, err := restClientOf(client)
	if err != nil {
		t.Fatal(err)
	}
	return theirs
}

// A client-go that has renamed a field, or keeps its value elsewhere, must not go unnoticed:
// pods are then decoded by client-go, at several times the cost.
func TestSettingsOfClientGo(t *testing.T) {
	given := rest.Config{
		ContentConfig:  rest.ContentConfig{AcceptContentTypes: protobufFirst, ContentType: "application/json"},
		WarningHandler: rest.NoWarnings{},
	}
	for _, test := range []struct {
		setting setting
		want    any
	}{
		{acceptContentTypes, protobufFirst},
		{contentType, "application/json"},
		{warningHandler, nil},
	} {
		t.Run(test.setting.path, func(t *testing.T) {
			theirs, err := test.setting.of(restClient(t, given))
			if err != nil {
				t.Fatal(err)
			}
			none, err := test.setting.of(restClient(t, rest.Config{ContentConfig: rest.ContentConfig{ContentType: "-"}}))
			if err != nil {
				t.Fatal(err)
			}
			if test.want == nil {
				if theirs.IsNil() || !none.IsNil() {
					t.Errorf("%v where there is one, %v where there is none", theirs, none)
				}
				return
			}
			if got := theirs.String(); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

// Each setting of a client is copied to the second one, or read, or has no effect on requests
// for pods. A client-go with another field needs a decision in newWirePods.
func TestNoSettingIsForgotten(t *testing.T) {
	known := []string{
		"RESTClient.base", "RESTClient.rateLimiter", "RESTClient.Client", // copied
		"RESTClient.versionedAPIPath",                     // the same
		"RESTClient.content", "RESTClient.warningHandler", // read
		"RESTClient.createBackoffMgr",                                       // from the environment
		"ClientContentConfig.AcceptContentTypes",                            // read
		"ClientContentConfig.ContentType",                                   // read
		"ClientContentConfig.GroupVersion",                                  // the same
		"ClientContentConfig.Negotiator",                                    // replaced
		"ClientContentConfig.DropManagedFields",                             // 0.38: they are not read here
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
		value, err := setting{path, reflect.String}.of(theirs)
		if err == nil || err.Error() != want || value.IsValid() {
			t.Errorf("%s: %v, %v, want the error %q", path, value, err, want)
		}
	}
}
