// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"bufio"
	"io"

	"k8s.io/apimachinery/pkg/runtime"
)

// readAhead is how much of a stream is read at once, if it has that much. Over
// HTTP/2 each read may have to tell the server that there is room again.
const readAhead = 64 << 10

// bufferedFramer reads ahead of another framer.
type bufferedFramer struct{ runtime.Framer }

// NewFrameReader implements [runtime.Framer].
func (f bufferedFramer) NewFrameReader(stream io.ReadCloser) io.ReadCloser {
	return f.Framer.NewFrameReader(bufferedStream{bufio.NewReaderSize(stream, readAhead), stream})
}

type bufferedStream struct {
	io.Reader
	io.Closer
}
