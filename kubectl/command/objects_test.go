// SPDX-License-Identifier: Apache-2.0

package command

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/creack/pty"
	"github.com/executorpods/watchsource/watchtest"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/yaml"
)

// decodeList decodes a list, which must be all of the output.
func decodeList(t *testing.T, output string) executorList {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(output))
	decoder.DisallowUnknownFields()
	var list executorList
	if err := decoder.Decode(&list); err != nil || decoder.More() {
		t.Fatalf("err = %v, more: %v; want one object in\n%s", err, decoder.More(), output)
	}
	if list.APIVersion != "kubectl-executors/v1" || list.Kind != "ExecutorList" || list.Items == nil {
		t.Errorf("got %s %s with the items %v, want a list of executors", list.APIVersion, list.Kind, list.Items)
	}
	return list
}

// JSON and YAML are one list, without any part of the pod's spec.
func TestObjects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := example()
		if got, want := once(t, server, "app-a", "-o", "name"), "pod/app-a-exec-1\npod/app-a-exec-2\npod/app-a-exec-3\n"; got != want {
			t.Errorf("-o name: got %q, want %q", got, want)
		}

		output := once(t, server, "-A", "-o", "json")
		var states []string
		for _, o := range decodeList(t, output).Items {
			states = append(states, o.Application+"/"+o.ID+" "+o.State)
		}
		if want := []string{"app-a/1 Running", "app-a/2 Pending", "app-a/3 Failed", "app-b/1 Running"}; !slices.Equal(states, want) {
			t.Errorf("-o json: got %q, want %q", states, want)
		}
		if strings.Contains(output, "secret") {
			t.Error("-o json has the environment of a container, want no part of the spec")
		}

		for _, format := range []string{"yaml", "kyaml"} {
			document, err := yaml.YAMLToJSONStrict([]byte(once(t, server, "app-a", "-o", format)))
			if err != nil {
				t.Fatal(err)
			}
			o := decodeList(t, string(document)).Items[2]
			if o.ExitCode == nil || *o.ExitCode != 137 || o.Reason != "OOMKilled" || o.FinishedAt == nil || o.StartedAt != nil {
				t.Errorf("-o %s: got %+v, want exit code 137, OOMKilled and the time of the end only", format, o)
			}
		}
	})
}

func TestObjectsOfNoExecutors(t *testing.T) {
	for _, format := range []string{"json", "yaml", "kyaml"} {
		synctest.Test(t, func(t *testing.T) {
			c := startCall(t, watchtest.NewServer(), "app-a", "-o", format)
			if err := <-c.done; err != nil || c.errOut.String() != "" {
				t.Errorf("-o %s: err = %v and %q on stderr, want nothing", format, err, c.errOut.String())
			}
			document, err := yaml.YAMLToJSONStrict([]byte(c.out.String()))
			if err != nil {
				t.Fatal(err)
			}
			if list := decodeList(t, string(document)); len(list.Items) != 0 {
				t.Errorf("-o %s: got %d items, want none", format, len(list.Items))
			}
		})
	}
}

func TestTemplates(t *testing.T) {
	const inGo = `go-template={{range .items}}{{.id}} {{.state}};{{end}}`
	for _, row := range []struct{ format, want string }{
		{"jsonpath={.items[*].pod}", "app-a-exec-1 app-a-exec-2 app-a-exec-3"},
		{`jsonpath={.items[?(@.state=="Failed")].id}`, "3"},
		{"jsonpath={.items[0].nothing}", ""},
		{"jsonpath-as-json={.items[2].exitCode}", "[\n    137\n]\n"},
		{inGo, "1 Running;2 Pending;3 Failed;"},
	} {
		synctest.Test(t, func(t *testing.T) {
			if got := once(t, example(), "app-a", "-o", row.format); got != row.want {
				t.Errorf("-o %s: got %q, want %q", row.format, got, row.want)
			}
		})
	}
}

// With -w a template is for each change, and a YAML document too.
func TestWatchFormats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := example()
		template := startCall(t, server, "app-b", "-A", "-w", "-o", `jsonpath={.kind} {.before.state}>{.after.state}{"\n"}`)
		names := startCall(t, server, "app-b", "-A", "-w", "-o", "name")
		documents := startCall(t, server, "app-b", "-A", "-w", "-o", "yaml")
		server.Update("other", "app-b-exec-1", ended(1, "Error"))
		time.Sleep(time.Second)
		if got, want := template.out.String(), "ExecutorChange >Running\nExecutorChange Running>Failed\n"; got != want {
			t.Errorf("-o jsonpath: got %q, want %q", got, want)
		}
		if got, want := names.out.String(), "pod/app-b-exec-1\npod/app-b-exec-1\n"; got != want {
			t.Errorf("-o name: got %q, want %q", got, want)
		}
		var states []string
		for document := range strings.SplitSeq(documents.out.String(), "---\n") {
			var c executorChange
			if err := yaml.UnmarshalStrict([]byte(document), &c); err != nil {
				t.Fatalf("-o yaml: %v in\n%s", err, document)
			}
			states = append(states, c.After.State)
		}
		if want := []string{"Running", "Failed"}; !slices.Equal(states, want) {
			t.Errorf("-o yaml: got %q, want %q", states, want)
		}
	})
}

// To a terminal a template writes no escape sequence of a message.
func TestTemplateInTerminal(t *testing.T) {
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = master.Close() }()
	o := newOptions(genericiooptions.IOStreams{Out: slave})
	if o.printer, err = newPrinter("jsonpath={.items[*].message}", false); err != nil {
		t.Fatal(err)
	}
	list := newExecutorList()
	list.Items = []*object{{Message: evil}}
	if err := o.printObject(list); err != nil {
		t.Fatal(err)
	}
	_ = slave.Close()
	output := make([]byte, 1024)
	n, err := master.Read(output)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(output[:n]); !strings.Contains(got, "^[]0;owned") || strings.ContainsAny(got, "\x1b\u009b\u202e\x07") {
		t.Errorf("got %q, want the message without escape sequences", got)
	}
}

// The ids have their numeric order in all forms.
func TestOrder(t *testing.T) {
	for _, row := range []struct{ args, want string }{
		{"app-a --no-headers", "2 9 10 100"},
		{"-A --no-headers", "2 9 10 100 1"},
		{"app-a -o name", "2 9 10 100"},
		{"app-a -o jsonpath={.items[*].id}", "2 9 10 100"},
		{"-A -w -o name", "2 9 10 100 1"},
		{"app-a -A -w", "2 9 10 100"},
	} {
		synctest.Test(t, func(t *testing.T) {
			server := watchtest.NewServer()
			for _, id := range []int{100, 9, 10, 2} {
				server.Create(pod("jobs", "app-a", id, nil))
			}
			server.Create(pod("other", "app-b", 1, nil))
			got := startCall(t, server, strings.Fields(row.args)...).out.String()
			var ids []string
			for word := range strings.FieldsSeq(got) {
				if _, id, isPod := strings.Cut(word, "-exec-"); isPod {
					ids = append(ids, id)
				}
			}
			if len(ids) == 0 {
				ids = strings.Fields(got)
			}
			if strings.Join(ids, " ") != row.want {
				t.Errorf("%s: got the order %s in\n%s\nwant %s", row.args, ids, got, row.want)
			}
		})
	}
}

// An executor without an id that is a number comes after those with one.
func TestOrderOfOtherIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		for _, id := range []string{"b", "10", "a", "9"} {
			server.Create(pod("jobs", "app-a", 1, func(pod *corev1.Pod) {
				pod.Name = "exec-" + id
				pod.Labels["spark-exec-id"] = id
			}))
		}
		if got, want := once(t, server, "app-a", "-o", "name"), "pod/exec-9\npod/exec-10\npod/exec-a\npod/exec-b\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
