// SPDX-License-Identifier: Apache-2.0

package picture_test

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/charmbracelet/x/vt"
	"github.com/executorpods/watchsource/kubectl/picture"
)

func TestSVG(t *testing.T) {
	screen := vt.NewEmulator(40, 3)
	if _, err := screen.WriteString("a<b &\x1b[31;1mred\x1b[0m  col\r\n\x1b[2mfaint \x1b[0m\x1b[31;7m BLIND \x1b[0m"); err != nil {
		t.Fatal(err)
	}
	got := picture.SVG(screen, "a & b")
	for _, want := range []string{
		`viewBox="0 0 364.0 82"`,
		`<title>a &amp; b</title>`,
		`<text x="14.0" y="28" textLength="42.0">a&lt;b &amp;</text>`,
		`<text x="56.0" y="28" textLength="25.2" class="bold red">red</text>`,
		`<text x="98.0" y="28" textLength="25.2">col</text>`,
		`<text x="14.0" y="46" textLength="42.0" class="faint">faint</text>`,
		`<rect x="64.4" y="32" width="58.8" height="18" class="red"/>`,
		`<text x="64.4" y="46" textLength="58.8" class="bold reversed"> BLIND </text>`,
		`prefers-color-scheme: dark`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("got no %s in\n%s", want, got)
		}
	}
	for decoder := xml.NewDecoder(strings.NewReader(got)); ; {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("the picture is no XML: %v", err)
		}
	}
}
