// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write servers.sum anew")

// servers are the versions of .ci/run servers, except that of go.mod.
var servers = []string{"v1.31.14", "v1.33.13", "v1.34.4", "v1.35.4", "v1.36.3"}

func generatedPrograms() []generated {
	programs := []generated{kineProgram()}
	for _, version := range servers {
		programs = append(programs, apiserverProgram(version))
	}
	return programs
}

// Every program of .ci/run servers is listed in servers.sum. With -update its modules are
// downloaded, and the file is written from what the checksum database vouches for.
func TestServersSum(t *testing.T) {
	if *update {
		writeServersSum(t)
	}
	for _, g := range generatedPrograms() {
		if !strings.Contains(serversSum, g.module+" "+g.version+" h1:") {
			t.Errorf("servers.sum lacks %s %s: run go test -run ServersSum -update", g.module, g.version)
		}
	}
}

func writeServersSum(t *testing.T) {
	serversSum = ""
	var lines []string
	for _, g := range generatedPrograms() {
		sums, err := g.resolve(t.Context(), t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		if err := g.vouch(t.Context(), sums); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, sums...)
	}
	slices.Sort(lines)
	lines = slices.DeleteFunc(slices.Compact(lines), func(line string) bool { return line == "" })
	serversSum = strings.Join(lines, "\n") + "\n"
	if err := os.WriteFile("servers.sum", []byte(serversSum), 0o644); err != nil {
		t.Fatal(err)
	}
}

// A module is not built if its sum differs from the one in servers.sum, or if neither that file
// nor the checksum database has its sum.
func TestVouch(t *testing.T) {
	const known, other = "example.com/known v1.0.0 h1:a=", "example.com/other v1.0.0 h1:b="
	before := serversSum
	t.Cleanup(func() { serversSum = before })
	serversSum = "example.com/server v1.0.0 h1:s=\n" + known + "\n"
	for _, test := range []struct {
		name, version, database string
		sums                    []string
		want                    string
	}{
		{name: "all known", version: "v1.0.0", database: "off", sums: []string{known}},
		{name: "one more", version: "v1.0.0", sums: []string{known, other}, want: "does not have, the first is " + other},
		{name: "another version", version: "v2.0.0", database: "sum.golang.org", sums: []string{known, other}},
		{name: "another version without the database", version: "v2.0.0", database: "off", sums: []string{known, other}, want: "GOSUMDB is off"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("GOSUMDB", test.database)
			err := generated{module: "example.com/server", version: test.version}.vouch(t.Context(), test.sums)
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("vouch = %v, want %q", err, test.want)
			}
		})
	}
}

// The go.mod of a program keeps what its own says, and takes the staging modules from their
// releases.
func TestGeneratedGoMod(t *testing.T) {
	own := theirs{Go: "1.23.0"}
	own.GoDebug = append(own.GoDebug, struct{ Key, Value string }{"default", "go1.23"})
	type module = struct{ Path, Version string }
	own.Replace = append(own.Replace,
		struct{ Old, New module }{module{"k8s.io/api", ""}, module{"./staging/src/k8s.io/api", ""}},
		struct{ Old, New module }{module{"example.com/a", "v1.0.0"}, module{"example.com/b", "v1.1.0"}},
	)
	got, err := apiserverProgram("v1.31.14").write(own)
	if err != nil {
		t.Fatal(err)
	}
	const want = `module b

go 1.23.0

godebug default=go1.23

require k8s.io/kubernetes v1.31.14

replace k8s.io/api => k8s.io/api v0.31.14

replace example.com/a v1.0.0 => example.com/b v1.1.0
`
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if _, err := apiserverProgram("1.31").write(own); err == nil {
		t.Error("a version without v is accepted")
	}
}
