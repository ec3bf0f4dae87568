// SPDX-License-Identifier: Apache-2.0

package command

import (
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// runCommand runs the command line and returns its exit code and outputs.
func runCommand(t *testing.T, args ...string) (code int, out, errOut string) {
	t.Helper()
	var outBuffer, errBuffer buffer
	code = Run(t.Context(), args, genericiooptions.IOStreams{Out: &outBuffer, ErrOut: &errBuffer})
	return code, outBuffer.String(), errBuffer.String()
}

func TestRun(t *testing.T) {
	t.Setenv("KUBECONFIG", "/dev/null")
	for _, row := range []struct {
		args   string
		code   int
		errOut string
	}{
		{"-demo -o name", exitOK, ""},
		{"--demo -A", exitOK, ""},
		{"--help", exitOK, ""},
		{"a b", exitError, "accepts at most 1 arg"},
		{"app-a -o xml", exitError, `unknown output format "xml"`},
		{"--until-ended", exitError, "--until-ended needs an application"},
		{"--demo -A --until-ended", exitError, "--until-ended needs an application"},
		{"app-a --exit-status", exitOtherError, "--exit-status needs --until-ended"},
		{"app-a --until-ended --settle=-1s", exitError, "--settle must not be negative"},
		{"app-a --nonsense", exitError, "unknown flag"},
		{"not/valid -s http://127.0.0.1:1", exitError, "invalid application id"},
		{"app-a -s http://127.0.0.1:1", exitError, "check the address of the API server"},
		{"app-a -s http://127.0.0.1:1 --until-ended --exit-status", exitOtherError, "check the address of the API server"},
	} {
		t.Run(row.args, func(t *testing.T) {
			code, out, errOut := runCommand(t, strings.Fields(row.args)...)
			if code != row.code || !strings.Contains(errOut, row.errOut) {
				t.Errorf("code %d, %q on stderr; want %d, %q", code, errOut, row.code, row.errOut)
			}
			if (out != "") != (row.code == exitOK) {
				t.Errorf("code %d and %q on stdout; want an output only without an error", code, out)
			}
			if strings.Count(errOut, "watchsource:") > 1 {
				t.Errorf("got %q, want the prefix once", errOut)
			}
		})
	}
}

// A wrong command line is an error before any request, with the way to the help. There is no
// kubeconfig, so that the error would be another one if the command connected first.
func TestUsageErrors(t *testing.T) {
	t.Setenv("KUBECONFIG", "/nonexistent/kubeconfig")
	const letters = "letters, digits, dashes, dots and underscores"
	for _, row := range []struct {
		args []string
		want string
	}{
		{[]string{""}, "the id of the application is empty: leave it out for all applications"},
		{[]string{"", "--demo"}, "the id of the application is empty: leave it out for all applications"},
		{[]string{"--", ""}, "the id of the application is empty: leave it out for all applications"},
		{[]string{"a", "b"}, "accepts at most 1 arg(s), received 2"},
		{[]string{"version", "b"}, "accepts at most 1 arg(s), received 2"},
		{[]string{"pod/a"}, `invalid application id "pod/a": it is the value of a label, which may have ` + letters + ", and begins and ends with a letter or a digit"},
		{[]string{" "}, `invalid application id " ": it is the value of a label, which may have ` + letters + ", and begins and ends with a letter or a digit"},
		{[]string{strings.Repeat("a", 64)}, "invalid application id \"" + strings.Repeat("a", 64) + "\": it has 64 characters, and the value of a label has at most 63"},
		{[]string{"-n", "A/b"}, `invalid namespace "A/b": it may have lower case letters, digits and dashes, and at most 63 characters`},
		{[]string{"--nonsense"}, "unknown flag: --nonsense"},
		{[]string{"-l", "a b"}, `invalid --selector "a b": unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt`},
		{[]string{"app-a", "-l", "a=b/c"}, `invalid --selector "a=b/c": `},
		{[]string{"-o", "xml"}, `unknown output format "xml", want one of wide, name, json, yaml, `},
		{[]string{"-o", "custom-columns=A:.id"}, `unknown output format "custom-columns=A:.id", want one of wide, name, json, yaml, `},
		{[]string{"-o", "jsonpath"}, "-o jsonpath needs a template, for example -o jsonpath='{.items[*].pod}'"},
		{[]string{"-o", "go-template="}, "-o go-template needs a template, for example -o go-template='{{range .items}}{{.pod}}"},
		{[]string{"-o", "go-template-file"}, "-o go-template-file needs a template, for example -o go-template-file=FILE"},
		{[]string{"-o", "jsonpath={"}, "invalid -o jsonpath: error parsing jsonpath {, unclosed action"},
		{[]string{"-o", "jsonpath-file=/nonexistent"}, "invalid -o jsonpath-file: "},
		{[]string{"app-a", "--settle=1s"}, "--settle needs --until-ended"},
		{[]string{"app-a", "--until-ended", "-o", "json"}, "--until-ended prints changes only, with -w: -o needs -w too"},
		{[]string{"app-a", "--until-ended", "-o", "wide"}, "--until-ended prints changes only, with -w: -o needs -w too"},
		{[]string{"--executor-container="}, "--executor-container has an empty name"},
		{[]string{"--executor-container", "spark,,main"}, "--executor-container has an empty name"},
		{[]string{"--cache-dir=/tmp"}, "unknown flag: --cache-dir"},
		{[]string{"app-a", "-v=-1"}, "-v must not be negative, as -1 is"},
		{[]string{"--demo", "-n", "foo"}, `the demonstration has no namespace "foo": it has jobs, staging`},
		{[]string{"--demo", "foo"}, `the demonstration has no application "foo" in the namespace jobs: it has spark-demo, spark-etl, spark-report`},
		{[]string{"--demo", "spark-demo", "-n", "staging"}, `the demonstration has no application "spark-demo" in the namespace staging: it has spark-etl`},
		{[]string{"--demo", "foo", "-A"}, `the demonstration has no application "foo": it has spark-demo, spark-etl, spark-report`},
		{[]string{"--demo", "--context=a"}, "--demo has its own cluster: it cannot be used with --context"},
		{[]string{"--demo", "-s", "http://127.0.0.1:1"}, "--demo has its own cluster: it cannot be used with --server"},
	} {
		t.Run(strings.Join(row.args, " "), func(t *testing.T) {
			code, out, errOut := runCommand(t, row.args...)
			if code != exitError || out != "" {
				t.Errorf("code %d and %q on stdout, want %d and nothing", code, out, exitError)
			}
			text, isUsage := strings.CutSuffix(errOut, "\nSee 'kubectl executors --help' for usage.\n")
			if !isUsage || !strings.HasPrefix(text, "error: "+row.want) || strings.Contains(text, "\n") {
				t.Errorf("got %q, want %q and the way to the help", errOut, row.want)
			}
		})
	}
}

// The demonstration has three applications in one namespace, and a fourth in another.
func TestDemo(t *testing.T) {
	for _, row := range []struct {
		args string
		want []string // namespaces and applications
	}{
		{"-demo", []string{"jobs spark-demo", "jobs spark-etl", "jobs spark-report"}},
		{"--demo -n jobs", []string{"jobs spark-demo", "jobs spark-etl", "jobs spark-report"}},
		{"--demo -n staging", []string{"staging spark-etl"}},
		{"--demo -A", []string{"jobs spark-demo", "jobs spark-etl", "jobs spark-report", "staging spark-etl"}},
		{"--demo spark-etl", []string{"jobs spark-etl"}},
		{"--demo spark-etl -A", []string{"jobs spark-etl", "staging spark-etl"}},
		{"--demo spark-etl -n staging", []string{"staging spark-etl"}},
	} {
		t.Run(row.args, func(t *testing.T) {
			const format = `-o=jsonpath={range .items[?(@.id=="1")]}{.namespace} {.application}{"\n"}{end}`
			code, out, errOut := runCommand(t, append(strings.Fields(row.args), format)...)
			if want := strings.Join(row.want, "\n") + "\n"; code != exitOK || errOut != "" || out != want {
				t.Errorf("code %d, %q on stderr and\n%s\nwant\n%s", code, errOut, out, want)
			}
		})
	}
}
