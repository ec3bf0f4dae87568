// SPDX-License-Identifier: Apache-2.0

package command

import (
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/executorpods/watchsource/watchtest"
)

func TestVersionOf(t *testing.T) {
	platform := runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH + "\n"
	revision := debug.BuildSetting{Key: "vcs.revision", Value: "1f2e"}
	for _, row := range []struct {
		info *debug.BuildInfo
		want string
	}{
		{nil, "kubectl executors (devel)\n"},
		{&debug.BuildInfo{}, "kubectl executors (devel)\n"},
		{&debug.BuildInfo{Main: debug.Module{Version: "v0.3.1"}}, "kubectl executors v0.3.1\n"},
		{&debug.BuildInfo{Settings: []debug.BuildSetting{revision}}, "kubectl executors (devel)\nrevision 1f2e\n"},
		{&debug.BuildInfo{Settings: []debug.BuildSetting{revision, {Key: "vcs.modified", Value: "true"}}}, "kubectl executors (devel)\nrevision 1f2e, modified\n"},
	} {
		if got, want := versionOf(row.info), row.want+platform; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// The words version and help are subcommands, as those of other plugins, unless -- says that they
// are applications. There is no kubeconfig.
func TestSubcommands(t *testing.T) {
	t.Setenv("KUBECONFIG", "/nonexistent/kubeconfig")
	for _, row := range []struct {
		args string
		code int
		want string
	}{
		{"version", exitOK, "kubectl executors "},
		{"--version", exitOK, "kubectl executors "},
		{"app-a --version", exitOK, "kubectl executors "},
		{"help", exitOK, "Show the executors"},
		{"--help", exitOK, "Show the executors"},
		{"-- version", exitError, "error: no kubeconfig was found"},
		{"-A -- help", exitError, "error: no kubeconfig was found"},
		{"versions", exitError, "error: no kubeconfig was found"},
	} {
		t.Run(row.args, func(t *testing.T) {
			code, out, errOut := runCommand(t, strings.Fields(row.args)...)
			if code != row.code || !strings.HasPrefix(out+errOut, row.want) || (out == "") == (code == exitOK) {
				t.Errorf("code %d, %q and %q on stderr; want %d and %q", code, out, errOut, row.code, row.want)
			}
		})
	}
}

func TestApplicationVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		server.Create(pod("jobs", "version", 1, nil))
		if got, want := once(t, server, "-o", "name", "--", "version"), "pod/version-exec-1\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
