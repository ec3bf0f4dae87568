// SPDX-License-Identifier: Apache-2.0

package command

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/printers"
)

// formats are the values of -o.
const formats = "wide, name, json, yaml, kyaml, jsonpath=..., jsonpath-as-json=..., jsonpath-file=..., go-template=..., go-template-file=..."

// newPrinter returns what prints objects in a format of -o, nil for a table and for names. With
// -w a JSON object is one line.
func newPrinter(format string, watch bool) (printers.ResourcePrinter, error) {
	switch format {
	case "", "wide", "name":
		return nil, nil
	case "json":
		if watch {
			return printers.ResourcePrinterFunc(printLine), nil
		}
		return &printers.JSONPrinter{}, nil
	case "yaml":
		return &printers.YAMLPrinter{}, nil
	case "kyaml":
		return &printers.KYAMLPrinter{}, nil
	}
	return newTemplatePrinter(format)
}

func printLine(object runtime.Object, w io.Writer) error {
	return json.NewEncoder(w).Encode(object)
}

// newTemplatePrinter returns what prints objects with a template.
func newTemplatePrinter(format string) (printers.ResourcePrinter, error) {
	name, template, _ := strings.Cut(format, "=")
	var printer printers.ResourcePrinter
	var err error
	switch name {
	case "jsonpath", "jsonpath-as-json", "jsonpath-file":
		printer, err = (&genericclioptions.JSONPathPrintFlags{}).ToPrinter(format)
	case "go-template", "go-template-file", "template", "templatefile":
		printer, err = (&genericclioptions.GoTemplatePrintFlags{}).ToPrinter(format)
	default:
		return nil, fmt.Errorf("unknown output format %q, want one of %s", format, formats)
	}
	switch {
	case template == "":
		return nil, fmt.Errorf("-o %s needs a template, for example -o %s", name, exampleOf(name))
	case err != nil:
		return nil, fmt.Errorf("invalid -o %s: %w", name, err)
	}
	return printer, nil
}

func exampleOf(name string) string {
	switch {
	case strings.HasSuffix(name, "file"):
		return name + "=FILE"
	case strings.HasPrefix(name, "jsonpath"):
		return name + "='{.items[*].pod}'"
	default:
		return name + `='{{range .items}}{{.pod}}{{"\n"}}{{end}}'`
	}
}
