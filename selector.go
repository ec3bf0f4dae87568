// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"errors"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
)

// The labels that Spark writes on its executor pods (Spark's Constants.scala
// in resource-managers/kubernetes). They are historic and carry no prefix;
// [WithSelector] and [WithExecutorIDLabel] replace them.
const (
	LabelApp        = "spark-app-selector" // the application id
	LabelRole       = "spark-role"         // RoleExecutor, or "driver"
	LabelExecutorID = "spark-exec-id"      // the executor id, a decimal number

	RoleExecutor = "executor" // the value of LabelRole on an executor pod
)

// sparkSelector selects the executors of one application.
func sparkSelector(appID string) labels.Selector {
	return labels.SelectorFromSet(labels.Set{LabelApp: appID, LabelRole: RoleExecutor})
}

// ErrInvalidAppID means that an application id is empty or cannot be the value of a
// label.
var ErrInvalidAppID = errors.New("watchsource: invalid application id")

// checkAppID rejects an id that cannot be the value of a label. With an empty id the
// watch would select no pods, or all of them, without an error.
func checkAppID(appID string) error {
	if appID == "" {
		return fmt.Errorf("%w: it is empty", ErrInvalidAppID)
	}
	if problems := validation.IsValidLabelValue(appID); len(problems) > 0 {
		return fmt.Errorf("%w: %q cannot be the value of a label: %s", ErrInvalidAppID, appID, strings.Join(problems, "; "))
	}
	return nil
}
