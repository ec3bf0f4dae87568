// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A newcomer reads what will happen, sees it happen under columns with names, and reads what was
// seen. The demo ends by itself.
func TestDemo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, took := runDemo(t, t.Context(), "-apps 60")
		if took != 40*time.Second {
			t.Errorf("took %v, want 40s", took)
		}
		wantInOrder(t, out,
			`^Three replicas divide 60 applications`,
			`The demo ends after 40s, or\nwith Ctrl-C\.\n`,
			`After 10s replica-2 loses its connection`,
			`within 20 s in all`,
			`applications of +ends\n`,
			` time  replica-0  replica-1  replica-2    all       handled  waiting\n`,
			`\n   9s .*  60 +540        0\n`,
			`\n  10s  > replica-2 loses its connection to the Leases`,
			`\n  (1[5-9]|20)s  > replica-2 has stopped acting`,
			`\n  2[0-9]s .* [1-9][0-9]*\n`, // ends wait
			`\n  (2[0-9]|30)s  > the Lease of replica-2 is dead`,
			`\n  39s .*        0  +60 +2340        0\n`,
			`\n\nThe demo ends after 40s: the time is over \(-for\)\.\n`,
			`\n2400 of 2400 ends have been handled, 0 wait\.\n`,
			`\nreplica-2 stopped acting ([5-9]|10)s after it had lost its connection, `+
				`and the others acted for its applications after (1[0-9]|20)s\.\n$`,
		)
	})
}

func TestDemoEnds(t *testing.T) {
	for _, tt := range []struct {
		name, args string
		stopAfter  time.Duration
		took       time.Duration
		want       []string
	}{
		{"with Ctrl-C", "", 4500 * time.Millisecond, 4500 * time.Millisecond, []string{`\nThe demo ends after 4s: asked to stop\.\n`}},
		{"without a fault", "-for 9s -cut-after 0", time.Hour, 9 * time.Second,
			[]string{`\nNo replica fails \(-cut-after 0\)\.\n`, `\n   9s .*  12 +108        0\n`, `108 of 108 ends have been handled, 0 wait\.\n$`}},
		{"too early to see who takes over", "-for 12s", time.Hour, 12 * time.Second,
			[]string{`not taken over the applications of replica-2 yet: give -for more than 30s\.\n$`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, interrupt := context.WithCancel(t.Context())
				defer time.AfterFunc(tt.stopAfter, interrupt).Stop()
				out, took := runDemo(t, ctx, "-apps 12 "+tt.args)
				if took != tt.took {
					t.Errorf("took %v, want %v", took, tt.took)
				}
				wantInOrder(t, out, tt.want...)
			})
		})
	}
}

func TestUsage(t *testing.T) {
	for _, tt := range []struct {
		args string
		code int
		want string
	}{
		{"-h", 0, "Usage: demo [flags]\n\n  -apps number\n"},
		{"-help", 0, "-cut-after time"},
		{"-x", 2, "flag provided but not defined: -x"},
		{"now", 2, "demo: there are flags only, no arguments; -h shows the flags\n"},
		{"-apps 0", 2, "demo: -apps must be at least 1, not 0; -h shows the flags\n"},
		{"-for 10ms", 2, "demo: -for must be at least 1s, not 10ms; -h shows the flags\n"},
		{"-cut-after -1s", 2, "demo: -cut-after must not be negative, as -1s is; -h shows the flags\n"},
		{"-for 10s", 2, "demo: -cut-after must be less than -for, 10s, not 10s; -h shows the flags\n"},
	} {
		var stdout, stderr strings.Builder
		code := run(t.Context(), strings.Fields(tt.args), &stdout, &stderr)
		if code != tt.code || !strings.Contains(stderr.String(), tt.want) || stdout.Len() > 0 {
			t.Errorf("%s: code %d, %q on stderr, %q on stdout; want %d, %q, nothing",
				tt.args, code, stderr.String(), stdout.String(), tt.code, tt.want)
		}
	}
}

// runDemo runs the demo and returns its output and its time.
func runDemo(t *testing.T, ctx context.Context, args string) (string, time.Duration) {
	t.Helper()
	var stdout, stderr strings.Builder
	start := time.Now()
	if code := run(ctx, strings.Fields(args), &stdout, &stderr); code != 0 || stderr.Len() > 0 {
		t.Errorf("code %d, %q on stderr; want 0 and nothing", code, stderr.String())
	}
	if testing.Verbose() {
		t.Log(stdout.String())
	}
	return stdout.String(), time.Since(start)
}

// wantInOrder fails the test unless the text has matches of the patterns one after the other. Two
// of them may share the end of a line.
func wantInOrder(t *testing.T, text string, patterns ...string) {
	t.Helper()
	rest := text
	for _, pattern := range patterns {
		found := regexp.MustCompile(pattern).FindStringIndex(rest)
		if found == nil {
			t.Errorf("no %q at its place in\n%s", pattern, text)
			return
		}
		end := found[1]
		if rest[end-1] == '\n' {
			end--
		}
		rest = rest[end:]
	}
}
