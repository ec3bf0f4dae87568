// SPDX-License-Identifier: Apache-2.0

package spark

import (
	"os"
	"testing"
)

// requireVariable makes a failure of a test that would be skipped. .ci/run sets it.
const requireVariable = "WATCHSOURCE_REQUIRE_SPARK"

// ForTest installs Spark, and skips the test if that is not possible on this machine.
func ForTest(t testing.TB) *Installation {
	t.Helper()
	installation, err := Install(t.Context(), func(progress string) { t.Log(progress) })
	switch {
	case err == nil:
		return installation
	case os.Getenv(requireVariable) != "":
		t.Fatalf("Spark is required (%s): %v", requireVariable, err)
	default:
		t.Skipf("not compared with Spark: %v", err)
	}
	return nil
}
