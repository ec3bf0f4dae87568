// SPDX-License-Identifier: Apache-2.0

package latelist_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/executorpods/watchsource/internal/latelist"
	"github.com/executorpods/watchsource/internal/podwire"
)

// A script has the answers of a server, and records what happens and when.
type script struct {
	lists *latelist.Lists
	began time.Time
	// answers has the error of each list, nil for none. Further lists succeed.
	answers []error
	// took is how long a list takes.
	took time.Duration

	mu    sync.Mutex
	lines []string
}

func newScript(ctx context.Context, took time.Duration, answers ...error) *script {
	s := &script{began: time.Now(), took: took, answers: answers}
	s.lists = latelist.New(ctx, s.list)
	return s
}

func (s *script) record(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, fmt.Sprintf("%v %s", time.Since(s.began), line))
}

func (s *script) list(ctx context.Context, appIDs []string) (map[string][]*podwire.Pod, string, error) {
	s.record("list " + strings.Join(appIDs, " "))
	select {
	case <-ctx.Done():
		return nil, "", ctx.Err()
	case <-time.After(s.took):
	}
	if len(s.answers) > 0 {
		err := s.answers[0]
		s.answers = s.answers[1:]
		if err != nil {
			return nil, "", err
		}
	}
	return map[string][]*podwire.Pod{"a": {{}}, "b": {{}, {}}}, "7", nil
}

// want fails unless exactly these lines were recorded.
func (s *script) want(t *testing.T, lines ...string) {
	t.Helper()
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if got, want := strings.Join(s.lines, "\n"), strings.Join(lines, "\n"); got != want {
		t.Errorf("recorded\n%s\nwant\n%s", got, want)
	}
}

// A member requests another list as often as its repeats say, after an error or a list.
type member struct {
	app     string
	script  *script
	repeats int
}

func (m *member) AppID() string { return m.app }

func (m *member) ReceiveList(pods []*podwire.Pod, resourceVersion string) {
	m.script.record(fmt.Sprintf("%s has %d pods at %s", m.app, len(pods), resourceVersion))
	m.repeat()
}

func (m *member) ListFailed(err error) {
	m.script.record(fmt.Sprintf("%s has %v", m.app, err))
	m.repeat()
}

func (m *member) repeat() {
	if m.repeats--; m.repeats >= 0 {
		m.script.lists.Request(m)
	}
}

var (
	errBroken = errors.New("broken")
	pods      = schema.GroupResource{Resource: "pods"}
)

// Members that come while another waits for its list share it. Those that come while a list is
// on its way share the next, which may be newer.
func TestMembersShareAList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t.Context(), time.Second)
		s.lists.Request(&member{app: "a", script: s})
		time.Sleep(9 * time.Millisecond)
		s.lists.Request(&member{app: "b", script: s})
		time.Sleep(2 * time.Millisecond)
		s.lists.Request(&member{app: "b", script: s})
		s.lists.Request(&member{app: "c", script: s})
		time.Sleep(time.Minute)
		s.lists.Request(&member{app: "a", script: s}) // after the others are done
		time.Sleep(time.Minute)
		s.want(t, "10ms list a b", "1.01s a has 1 pods at 7", "1.01s b has 2 pods at 7",
			"1.02s list b c", "2.02s b has 2 pods at 7", "2.02s c has 0 pods at 7",
			"1m0.021s list a", "1m1.021s a has 1 pods at 7")
	})
}

// After an error the next list waits, as long as the server asks. Members that come meanwhile
// wait too.
func TestListIsRepeated(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		next string
	}{
		{name: "an error", err: errBroken, next: "1.02s"},
		{name: "the server asks for less", err: apierrors.NewServerTimeout(pods, "list", 0), next: "1.02s"},
		{name: "the server asks for more", err: apierrors.NewTooManyRequests("busy", 5), next: "5.02s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScript(t.Context(), 0, c.err)
				s.lists.Request(&member{app: "a", script: s, repeats: 1})
				time.Sleep(500 * time.Millisecond)
				s.lists.Request(&member{app: "b", script: s})
				time.Sleep(time.Minute)
				s.want(t, "10ms list a", fmt.Sprintf("10ms a has %v", c.err),
					c.next+" list a b", c.next+" a has 1 pods at 7", c.next+" b has 2 pods at 7")
			})
		})
	}
}

// A member whose list is too old requests another one at once.
func TestListIsRequestedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t.Context(), 0)
		s.lists.Request(&member{app: "a", script: s, repeats: 1})
		time.Sleep(time.Minute)
		s.want(t, "10ms list a", "10ms a has 1 pods at 7", "20ms list a", "20ms a has 1 pods at 7")
	})
}

// Once the context has ended no member receives a list or an error, and Wait returns at once.
func TestNothingAfterTheContext(t *testing.T) {
	for _, c := range []struct {
		name string
		end  time.Duration
		want []string
	}{
		{name: "before the list", end: 5 * time.Millisecond},
		{name: "during the list", end: 500 * time.Millisecond, want: []string{"10ms list a"}},
		{name: "before the second list", end: 1500 * time.Millisecond, want: []string{"10ms list a", "1.01s a has broken"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				s := newScript(ctx, time.Second, errBroken)
				s.lists.Request(&member{app: "a", script: s, repeats: 1})
				time.Sleep(c.end)
				cancel()
				s.lists.Wait()
				if waited := time.Since(s.began); waited != c.end {
					t.Errorf("Wait returned %v after the context had ended, want at once", waited-c.end)
				}
				s.lists.Request(&member{app: "b", script: s})
				time.Sleep(time.Minute)
				s.want(t, c.want...)
			})
		})
	}
}
