// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/rest"
)

// startFloor reads the frames of a streaming list through client-go's own HTTP
// client, and looks at nothing but their length. No consumer can cost less.
func startFloor(ctx context.Context, s env) (any, error) {
	return readFrames(ctx, s, s.selector)
}

func readFrames(ctx context.Context, s env, selector labels.Selector) (any, error) {
	client, err := rest.HTTPClientFor(s.config)
	if err != nil {
		return nil, err
	}
	query := url.Values{
		"watch":                {"true"},
		"allowWatchBookmarks":  {"true"},
		"sendInitialEvents":    {"true"},
		"resourceVersionMatch": {"NotOlderThan"},
		"labelSelector":        {selector.String()},
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.config.Host+podsPath+"?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", protobufMedia+";stream=watch")
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		response.Body.Close()
		return nil, fmt.Errorf("watch: %s", response.Status)
	}
	frames := &frameReader{in: bufio.NewReaderSize(response.Body, 64<<10)}
	if err := frames.skip(s.pods + 1); err != nil { // the bookmark is one
		return nil, err
	}
	go func() {
		defer response.Body.Close()
		if err := frames.skip(s.updates + s.apps); err != nil { // and so is each marker
			fmt.Fprintln(os.Stderr, "floor:", err)
			return
		}
		s.recorder.end()
		<-ctx.Done()
	}()
	return nil, nil
}

type frameReader struct{ in *bufio.Reader }

// skip reads n frames.
func (r *frameReader) skip(n int) error {
	var header [4]byte
	for range n {
		if _, err := io.ReadFull(r.in, header[:]); err != nil {
			return fmt.Errorf("read the length of a frame: %w", err)
		}
		if _, err := r.in.Discard(int(binary.BigEndian.Uint32(header[:]))); err != nil {
			return fmt.Errorf("read a frame: %w", err)
		}
	}
	return nil
}
