// SPDX-License-Identifier: Apache-2.0

package screen

import (
	"flag"
	"os"
	"testing"
	"testing/synctest"

	"github.com/executorpods/watchsource/kubectl/picture"
	"github.com/executorpods/watchsource/watchtest"
)

// The picture of the README shows the present screen. To update it, run the test with
// -update.
func TestPicture(t *testing.T) {
	const file = "../screen.svg"
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		term := open(t, server, testApp, 110, 26)
		busy(server)
		term.settle()
		got := picture.SVG(term.emulator, "The executors of an application in a terminal")
		requireFile(t, file, got)
	})
}

// requireFile fails the test unless a file has this content. With -update it writes the file.
func requireFile(t *testing.T, file, content string) {
	t.Helper()
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if content != string(want) {
		t.Errorf("%s does not show the screen; run go test ./screen -update and look at it", file)
	}
}
