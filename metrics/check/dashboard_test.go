// SPDX-License-Identifier: Apache-2.0

package check

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
	"github.com/prometheus/prometheus/promql/parser"
)

// A board is what the tests read of dashboard.json.
type board struct {
	Panels []struct {
		Title, Description string
		FieldConfig        struct{ Defaults struct{ Unit string } }
		GridPos            struct{ X, Y, W, H int }
		Datasource         struct{ UID string }
		Targets            []struct{ Expr, LegendFormat string }
	}
}

// variables are the values of Grafana's variables.
var variables = strings.NewReplacer("$__rate_interval", "30s", "$instance", ".+")

func readDashboard(t *testing.T) board {
	t.Helper()
	var b board
	if err := json.Unmarshal(dashboardJSON(t), &b); err != nil {
		t.Fatal(err)
	}
	return b
}

func dashboardJSON(t *testing.T) []byte {
	t.Helper()
	encoded, err := os.ReadFile("../dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

// The dashboard has no field that Grafana's schema does not know, and keeps its constraints.
func TestDashboardSchema(t *testing.T) {
	cog.NewRuntime().RegisterPanelcfgVariant(timeseries.VariantConfig())
	cog.NewRuntime().RegisterDataqueryVariant(prometheus.VariantConfig())
	//lint:ignore SA1019 dashboard.json has the older version of the schema, which every Grafana imports
	var d dashboard.Dashboard
	// For a valid dashboard the error is an empty BuildErrors.
	if err := d.UnmarshalJSONStrict(dashboardJSON(t)); err != nil && err.Error() != "" {
		t.Fatal(err)
	}
	if err := d.Validate(); err != nil {
		t.Error(err)
	}
}

// Each panel has a description, a unit, a data source and a selection of schedulers.
func TestPanels(t *testing.T) {
	titles := map[string]bool{}
	for _, panel := range readDashboard(t).Panels {
		if titles[panel.Title] {
			t.Errorf("two panels have the title %s", panel.Title)
		}
		titles[panel.Title] = true
		if !strings.HasSuffix(panel.Description, ".") {
			t.Errorf("%s: description %q, want a sentence", panel.Title, panel.Description)
		}
		if panel.FieldConfig.Defaults.Unit == "" {
			t.Errorf("%s: no unit", panel.Title)
		}
		if panel.Datasource.UID != "${datasource}" {
			t.Errorf("%s: data source %q, want the variable", panel.Title, panel.Datasource.UID)
		}
		if p := panel.GridPos; p.X+p.W > 24 || p.W == 0 || p.H == 0 {
			t.Errorf("%s: place %+v, want one of 24 columns", panel.Title, p)
		}
		for _, target := range panel.Targets {
			if target.LegendFormat == "" {
				t.Errorf("%s: %s has no legend", panel.Title, target.Expr)
			}
			if !strings.Contains(target.Expr, `instance=~"$instance"`) {
				t.Errorf("%s: %s does not use $instance", panel.Title, target.Expr)
			}
		}
	}
}

// The queries of the dashboard can be parsed, use metrics that exist, and show all of them. Ranges are
// those that Grafana chooses.
func TestDashboard(t *testing.T) {
	known := metricNames(t)
	used := map[string]bool{}
	for _, panel := range readDashboard(t).Panels {
		for _, target := range panel.Targets {
			if strings.Count(target.Expr, "[") != strings.Count(target.Expr, "[$__rate_interval]") {
				t.Errorf("%s: %s has another range than $__rate_interval", panel.Title, target.Expr)
			}
			expr, err := parser.NewParser(parser.Options{}).ParseExpr(variables.Replace(target.Expr))
			if err != nil {
				t.Errorf("%s: %v", panel.Title, err)
				continue
			}
			parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
				if selector, ok := node.(*parser.VectorSelector); ok {
					used[selector.Name] = true
					if !slices.Contains(known, selector.Name) {
						t.Errorf("%s: there is no metric %s", panel.Title, selector.Name)
					}
				}
				return nil
			})
		}
	}
	for _, name := range known {
		if !used[name] {
			t.Errorf("no panel shows %s, want one", name)
		}
	}
}
