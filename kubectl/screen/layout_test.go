// SPDX-License-Identifier: Apache-2.0

package screen

import (
	"strings"
	"testing"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"
)

// Names are cut in the middle, and never wider than the width.
func TestFitName(t *testing.T) {
	for _, row := range []struct {
		name  string
		width int
		want  string
	}{
		{"exec-1", 8, "exec-1  "},
		{"exec-1", 6, "exec-1"},
		{"my-long-application-exec-1234", 14, "my-lon…ec-1234"},
		{"my-long-application-exec-1234", 15, "my-long…ec-1234"},
		{"1234567", 4, "…567"},
		{"1234567", 2, "…7"},
		{"1234567", 1, "…"},
		{"1234567", 0, ""},
		{"节点一号在北京的机房里", 10, "节点…房里 "},
		{"ab节点一号在北京cd", 9, "ab节…京cd"},
		{"🚀🚀🚀🚀🚀🚀", 7, "🚀…🚀  "},
		{"שלום-עולם-ארוך-מאוד", 11, "שלום-…-מאוד"},
	} {
		got := fitName(row.name, row.width)
		if got != row.want || ansi.StringWidth(got) != row.width {
			t.Errorf("fitName(%q, %d) = %q of the width %d, want %q", row.name, row.width, got, ansi.StringWidth(got), row.want)
		}
	}
}

func rowsOf(cells ...string) []row {
	var rows []row
	for _, cell := range cells {
		rows = append(rows, row{cells: []string{cell}, style: lipgloss.NewStyle()})
	}
	return rows
}

// What all names have in common is left out if the names do not fit: of nodes the domain first, of
// pods the first words.
func TestShorten(t *testing.T) {
	const domain = ".eu-central-1.compute.internal"
	for _, test := range []struct {
		name    string
		column  column
		cells   []string
		want    string
		summary string
	}{
		{"pods that fit", pods(8, 20), []string{"spark-1-exec-1", "spark-1-exec-2"}, "spark-1-exec-1 spark-1-exec-2", ""},
		{"pods", pods(8, 12), []string{"spark-1-exec-1", "spark-1-exec-10"}, "…1 …10", "spark-1-exec-…"},
		{"one pod", pods(8, 12), []string{"spark-1-exec-1"}, "…1", "spark-1-exec-…"},
		{"pods of two kinds", pods(8, 12), []string{"spark-1-exec-1", "spark-1-driver"}, "…exec-1 …driver", "spark-1-…"},
		{"pods of nothing in common", pods(8, 12), []string{"spark-1-exec-1", "train-0-worker"}, "spark-1-exec-1 train-0-worker", ""},
		{"pods without a separator", pods(8, 12), []string{"executor000000001", "executor000000002"}, "executor000000001 executor000000002", ""},
		{"pods that are each other's begin", pods(8, 12), []string{"spark-exec-123", "spark-exec-123-4"}, "…123 …123-4", "spark-exec-…"},
		{"pods with a domain", pods(8, 12), []string{"p-1234567.set.example", "p-7654321.set.example"}, "…1234567 …7654321", "p-….set.example"},
		{"nodes that fit", nodes(8, 20), []string{"node-1", "node-2"}, "node-1 node-2", ""},
		{"nodes", nodes(8, 20), []string{"ip-10-0-1-2" + domain, "ip-10-0-7-8" + domain, "-"}, "ip-10-0-1-2 ip-10-0-7-8 -", "…" + domain},
		{"one node", nodes(8, 20), []string{"ip-10-0-1-2" + domain, "ip-10-0-1-2" + domain}, "ip-10-0-1-2 ip-10-0-1-2", "…" + domain},
		{"nodes of a pool", nodes(8, 20), []string{"gke-prod-default-pool-8f3a-x7k2", "gke-prod-default-pool-8f3a-b1c2"}, "…x7k2 …b1c2", "gke-prod-default-pool-8f3a-…"},
		{"nodes of two domains", nodes(8, 20), []string{"a.eu.example.internal", "b.us.example.internal"}, "a.eu b.us", "….example.internal"},
		{"wide characters", nodes(8, 12), []string{"节点-一号在北京的", "节点-二号在北京的"}, "…一号在北京的 …二号在北京的", "节点-…"},
	} {
		l, rows := newLayout(), rowsOf(test.cells...)
		l.arrange([]column{test.column}, rows)
		var got []string
		for _, row := range rows {
			got = append(got, row.cells[0])
		}
		if strings.Join(got, " ") != test.want || l.common[test.column.title].summary() != test.summary {
			t.Errorf("%s: got %q, left out %q; want %q, left out %q", test.name, got, l.common[test.column.title].summary(), test.want, test.summary)
		}
	}
}

// A column grows up to its limit and never shrinks, and the parts that are left out of names become shorter.
func TestColumnsDoNotShrink(t *testing.T) {
	l := newLayout()
	for _, step := range []struct {
		cells []string
		width int
		want  string
	}{
		{[]string{"1", "22"}, 6, "1"},
		{[]string{"1234567"}, 8, "1234567"},
		{[]string{"1"}, 8, "1"},
		{nil, 8, ""},
		{[]string{"1234567890"}, 10, "1234567890"},
		{[]string{"1"}, 10, "1"},
	} {
		rows := rowsOf(step.cells...)
		if got := l.arrange([]column{named("ID", 6, 10)}, rows)[0].width; got != step.width {
			t.Errorf("%q: width %d, want %d", step.cells, got, step.width)
		}
	}
	for _, step := range []struct{ cell, want string }{
		{"spark-1-exec-1", "…1"},
		{"spark-1-exec-2", "…2"},
		{"spark-1-driver", "…driver"},
		{"spark-1-exec-3", "…exec-3"},
		{"train-0", "train-0"},
		{"spark-1-exec-4", "spark-1-exec-4"},
	} {
		rows := rowsOf(step.cell)
		l.arrange([]column{pods(8, 12)}, rows)
		if got := rows[0].cells[0]; got != step.want {
			t.Errorf("%q is shown as %q, want %q", step.cell, got, step.want)
		}
	}
}
