// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"
)

// What an API server answers to the requests that the library makes or could make. The answers that it
// relies on are demanded of every version; the others are logged for the table in the README.
func TestAnswersOfTheServer(t *testing.T) {
	client := admin(t)
	namespace := newNamespace(t, client)
	create(t, client, executorPod(namespace, appID, 0))
	ask := newQuestioner(t, "/api/v1/namespaces/"+namespace+"/pods?")
	const streamed = "watch=1&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&timeoutSeconds=2"
	version := newestVersion(t, client, namespace)
	t.Logf("%s, store %s, gate WatchList %t", server.Version(), server.Store(), server.StreamsLists())

	for _, q := range []struct {
		name, query, accept, encoding string
		want                          string // of the answer, "" for any
	}{
		{name: "streaming list", query: streamed, want: streamingAnswer()},
		{name: "streaming list, gzip accepted", query: streamed, encoding: "gzip", want: ""},
		{name: "resumed watch, gzip accepted", query: "watch=1&timeoutSeconds=1&resourceVersion=" + version, encoding: "gzip", want: "200"},
		{name: "watch at version abc", query: "watch=1&timeoutSeconds=1&resourceVersion=abc"},
		{name: "list at version abc", query: "resourceVersion=abc"},
		{name: "watch at a version of the future", query: "watch=1&timeoutSeconds=1&resourceVersion=999999999", want: "200"},
		{name: "list not older than the future", query: "resourceVersion=999999999&resourceVersionMatch=NotOlderThan", want: "504"},
		{name: "list exactly at the future", query: "resourceVersion=999999999&resourceVersionMatch=Exact"},
		{name: "watch at version 1", query: "watch=1&timeoutSeconds=1&resourceVersion=1"},
		{name: "list without managed fields", query: "limit=1", accept: "application/json;drop=metadata.managedFields", want: "200"},
		{name: "list of a shard", query: "limit=1&shardSelector=garbage"},
	} {
		got := ask.ask(t, q.query, q.accept, q.encoding)
		t.Logf("%-34s %s", q.name, got)
		if !strings.HasPrefix(got, q.want) {
			t.Errorf("%s: the server answers %s, want %s", q.name, got, q.want)
		}
	}
}

func streamingAnswer() string {
	if server.StreamsLists() {
		return "200"
	}
	return "422"
}

// A questioner asks without client-go, which would repeat requests and decode answers.
type questioner struct {
	client *http.Client
	prefix string
}

func newQuestioner(t *testing.T, path string) *questioner {
	t.Helper()
	config := server.Config()
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	return &questioner{client, strings.TrimSuffix(config.Host, "/") + path}
}

// ask returns the status and the time of an answer, its encoding, and how it begins.
func (q *questioner) ask(t *testing.T, query, accept, encoding string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, q.prefix+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	if accept != "" {
		request.Header.Set("Accept", accept)
	}
	request.Header.Set("Accept-Encoding", "identity")
	if encoding != "" {
		request.Header.Set("Accept-Encoding", encoding)
	}
	begin := time.Now()
	response, err := q.client.Do(request)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	answered := time.Since(begin)
	body, err := io.ReadAll(bufio.NewReader(response.Body))
	text := response.Status + ", headers after " + answered.Round(10*time.Millisecond).String() + ", over after " + time.Since(begin).Round(10*time.Millisecond).String()
	if err != nil {
		text += ", cut: " + err.Error()
	}
	if after := response.Header.Get("Retry-After"); after != "" {
		text += ", Retry-After " + after
	}
	if used := response.Header.Get("Content-Encoding"); used != "" {
		return text + ", " + used
	}
	if strings.Contains(string(body), "managedFields") {
		text += ", with managed fields"
	}
	return text + ": " + string(body[:min(len(body), 220)])
}
