// SPDX-License-Identifier: Apache-2.0

package spark

import (
	"bytes"
	"testing"
)

func TestBadInput(t *testing.T) {
	judge := newJudge(t)
	_, err := judge.run(t.Context(), bytes.NewBufferString("{}\n{\"spec\": 5}\n"), containerNames)
	wantError(t, err, "Judge.java", "line 2 is not a pod in JSON")
}
