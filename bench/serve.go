// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// A replayServer replays a script.
type replayServer interface {
	http.Handler
	// release lets the next stage of the script begin.
	release()
	// seen returns the requests that the server has received.
	seen() any
}

// serve replays a script until its input ends. It prints readyLine after it has written
// its kubeconfig, starts the updates when it reads a line, and prints at the end, in JSON,
// the requests that it has received.
func serve(ctx context.Context, r replayServer, kubeconfig string, in io.Reader, out io.Writer) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		defer stop()
		for lines := bufio.NewScanner(in); lines.Scan(); {
			r.release()
		}
	}()
	var failed error
	err := listenAndReplay(ctx, r, func(host string, authority []byte) {
		if failed = writeKubeconfig(kubeconfig, host, authority); failed != nil {
			stop()
			return
		}
		fmt.Fprintln(out, readyLine)
	})
	if failed != nil {
		return failed
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(r.seen())
}

// replayHere replays a script in this process until ctx ends. It does not wait with the updates.
func replayHere(ctx context.Context, s *script) (*rest.Config, error) {
	r := newReplay(s, true)
	r.release()
	config, failed := make(chan *rest.Config, 1), make(chan error, 1)
	go func() {
		failed <- listenAndReplay(ctx, r, func(host string, authority []byte) {
			config <- withProtobuf(&rest.Config{Host: host, TLSClientConfig: rest.TLSClientConfig{CAData: authority}})
		})
	}()
	select {
	case c := <-config:
		return c, nil
	case err := <-failed:
		return nil, err
	}
}

func writeKubeconfig(path, host string, authority []byte) error {
	const name = "replay"
	err := clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{name: {Server: host, CertificateAuthorityData: authority}},
		Contexts:       map[string]*clientcmdapi.Context{name: {Cluster: name}},
		CurrentContext: name,
	}, path)
	if err != nil {
		return fmt.Errorf("write kubeconfig: %w", err)
	}
	return nil
}
