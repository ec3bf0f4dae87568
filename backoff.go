// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
)

// backoff spaces out attempts on an API server in trouble: half a second at
// first, then twice as long each time up to half a minute, each with up to half
// of it more, so that the clients of a server that comes back do not all come
// back with it.
type backoff struct{ wait.Backoff }

func newBackoff() *backoff {
	b := &backoff{}
	b.reset()
	return b
}

func (b *backoff) reset() {
	b.Backoff = wait.Backoff{Duration: 500 * time.Millisecond, Factor: 2, Jitter: 0.5, Steps: 1 << 30, Cap: 30 * time.Second}
}

// refusedPause is how long a server is left alone, and up to half as long again,
// that does not know us any more, or knows us and says no. It is well, its answer costs it nothing,
// and whoever gives back the rights or the token is likely to be waiting.
const refusedPause = 10 * time.Second

// next returns how long to wait after err, longer if the server asks for it.
func (b *backoff) next(err error) time.Duration {
	d := b.Step()
	if apierrors.IsUnauthorized(err) || apierrors.IsForbidden(err) {
		d = min(d, wait.Jitter(refusedPause, b.Jitter))
	}
	if seconds, ok := apierrors.SuggestsClientDelay(err); ok {
		d = max(d, time.Duration(seconds)*time.Second)
	}
	return d
}
