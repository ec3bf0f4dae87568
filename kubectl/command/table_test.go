// SPDX-License-Identifier: Apache-2.0

package command

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/executorpods/watchsource/watchtest"
	corev1 "k8s.io/api/core/v1"
)

func TestTable(t *testing.T) {
	for _, row := range []struct{ args, want string }{
		{"app-a", `
EXECUTOR   STATE     EXIT     AGE   POD            REASON
1          Running   <none>   1s    app-a-exec-1   <none>
2          Pending   <none>   1s    app-a-exec-2   Unschedulable
3          Failed    137      1s    app-a-exec-3   OOMKilled
`},
		{"app-a --no-headers -w=false", `
1     Running   <none>   1s    app-a-exec-1   <none>
2     Pending   <none>   1s    app-a-exec-2   Unschedulable
3     Failed    137      1s    app-a-exec-3   OOMKilled
`},
		{"-A", `
NAMESPACE   APPLICATION   EXECUTOR   STATE     EXIT     AGE   POD            REASON
jobs        app-a         1          Running   <none>   1s    app-a-exec-1   <none>
jobs        app-a         2          Pending   <none>   1s    app-a-exec-2   Unschedulable
jobs        app-a         3          Failed    137      1s    app-a-exec-3   OOMKilled
other       app-b         1          Running   <none>   1s    app-b-exec-1   <none>
`},
		{"app-b -A -o wide", `
NAMESPACE   EXECUTOR   STATE     EXIT     AGE   POD            REASON   RESTARTS   NODE     IP         MESSAGE
other       1          Running   <none>   1s    app-b-exec-1   <none>   0          node-1   10.0.0.7   <none>
`},
	} {
		t.Run(row.args, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := example()
				time.Sleep(time.Second)
				lines := strings.Split(once(t, server, strings.Fields(row.args)...), "\n")
				for i := range lines {
					lines[i] = strings.TrimRight(lines[i], " ")
				}
				if got := "\n" + strings.Join(lines, "\n"); got != row.want {
					t.Errorf("got%s\nwant%s", got, row.want)
				}
			})
		})
	}
}

func TestNoneFound(t *testing.T) {
	for _, row := range []struct{ args, want string }{
		{"app-c", "No executors of app-c found in jobs namespace.\n"},
		{"app-c -A", "No executors of app-c found in any namespace.\n"},
		{"-o wide", "No executors found in jobs namespace.\n"},
		{"-A", "No executors found in any namespace.\n"},
		{"app-c -l team=x", "No executors of app-c with the labels team=x found in jobs namespace.\n"},
		{"-o name", ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := startCall(t, watchtest.NewServer(), strings.Fields(row.args)...)
			if err := <-c.done; err != nil || c.out.String() != "" || c.errOut.String() != row.want {
				t.Errorf("%s: got %q, %q, %v; want %q on stderr only", row.args, c.out.String(), c.errOut.String(), err, row.want)
			}
		})
	}
}

// Without a terminal no escape sequence reaches the output, whatever the cluster says.
func TestNoEscapeSequences(t *testing.T) {
	for _, args := range []string{"app-a", "app-a -o wide", "app-a -w", "app-a -w -o wide", "-A -w"} {
		t.Run(args, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := watchtest.NewServer()
				server.Create(pod("jobs", "app-a", 1, func(pod *corev1.Pod) {
					pod.Status = corev1.PodStatus{Phase: corev1.PodFailed, Reason: evil, Message: evil}
				}))
				c := startCall(t, server, strings.Fields(args)...)
				got := c.out.String()
				if !strings.Contains(got, "^[]0;owned") {
					t.Errorf("got %q, want the reason in it, escaped", got)
				}
				for _, r := range got {
					if r != '\n' && !unicode.IsPrint(r) {
						t.Errorf("got the rune %U, want printable ones only", r)
					}
				}
			})
		})
	}
}
