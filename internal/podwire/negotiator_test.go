// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// panicking is a client whose decoder panics.
type panicking struct{ runtime.ClientNegotiator }

type panickingDecoder struct{ runtime.Decoder }

func (panicking) Decoder(string, map[string]string) (runtime.Decoder, error) {
	return panickingDecoder{}, nil
}

func (panickingDecoder) Decode([]byte, *schema.GroupVersionKind, runtime.Object) (runtime.Object, *schema.GroupVersionKind, error) {
	panic("length out of range")
}

// A panic of the decoder behind the library's own is an error of one answer.
func TestPanicOfADecoder(t *testing.T) {
	negotiator := NewNegotiator(panicking{}, Wire, nil, nil, func(string) {})
	for _, mediaType := range []string{runtime.ContentTypeProtobuf, runtime.ContentTypeJSON} {
		decoder, err := negotiator.Decoder(mediaType, nil)
		if err != nil {
			t.Fatal(err)
		}
		object, err := runtime.Decode(decoder, []byte("no pod"))
		if object != nil || err == nil || !strings.Contains(err.Error(), "decode "+mediaType+": panic: length out of range") {
			t.Errorf("%s: Decode = %v, %v, want the panic as an error", mediaType, object, err)
		}
	}
}
