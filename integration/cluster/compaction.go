// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// CompactEtcd makes etcd forget every version but the newest. An API server
// that is running still has its own cache.
//
// It speaks to etcd's JSON gateway, for which no client is needed.
func (c *Cluster) CompactEtcd(ctx context.Context) error {
	var newest struct {
		Header struct {
			Revision string `json:"revision"`
		} `json:"header"`
	}
	// The key is a zero byte, which is as good as any other.
	if err := c.askEtcd(ctx, "/v3/kv/range", map[string]any{"key": "AA==", "count_only": true}, &newest); err != nil {
		return fmt.Errorf("read revision of etcd: %w", err)
	}
	var done json.RawMessage
	if err := c.askEtcd(ctx, "/v3/kv/compaction", map[string]any{"revision": newest.Header.Revision, "physical": true}, &done); err != nil {
		return fmt.Errorf("compact etcd to revision %s: %w", newest.Header.Revision, err)
	}
	return nil
}

func (c *Cluster) askEtcd(ctx context.Context, path string, question, answer any) error {
	if c.setup.Store != Etcd {
		return ErrNotEtcd
	}
	body, err := json.Marshal(question)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.store.url().JoinPath(path).String(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", response.Status, text)
	}
	return json.Unmarshal(text, answer)
}
