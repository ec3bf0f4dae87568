// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"errors"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
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

// A routingLabel tells which application a pod belongs to.
type routingLabel struct {
	key string
	// common are the requirements that the selectors of all applications have.
	common labels.Requirements
}

// selector selects the pods of all applications.
func (r routingLabel) selector() labels.Selector {
	exists, _ := labels.NewRequirement(r.key, selection.Exists, nil) // the key is valid
	return labels.NewSelector().Add(r.common...).Add(*exists)
}

// selectorOf selects the pods of some applications.
func (r routingLabel) selectorOf(appIDs []string) labels.Selector {
	in, _ := labels.NewRequirement(r.key, selection.In, appIDs) // Start has checked the ids
	return labels.NewSelector().Add(r.common...).Add(*in)
}

var errNoRoutingLabel = errors.New("a shared watch needs a selector in which exactly one label equals the application id: see WithSelector")

// routingLabelOf compares the selectors of two applications.
func routingLabelOf(selector func(appID string) labels.Selector) (routingLabel, error) {
	if selector == nil {
		return routingLabel{}, errNoRoutingLabel
	}
	const one, other = "watchsource-1", "watchsource-2"
	ofOne, ofOther := requirementsOf(selector(one)), requirementsOf(selector(other))
	if len(ofOne) != len(ofOther) {
		return routingLabel{}, errNoRoutingLabel
	}
	var routing routingLabel
	for i, a := range ofOne {
		b := ofOther[i]
		switch {
		case a.Equal(b):
			routing.common = append(routing.common, a)
		case routing.key == "" && a.Key() == b.Key() && requires(a, one) && requires(b, other):
			routing.key = a.Key()
		default:
			return routingLabel{}, fmt.Errorf("%w (it differs in %q and %q)", errNoRoutingLabel, &a, &b)
		}
	}
	if routing.key == "" {
		return routingLabel{}, errNoRoutingLabel
	}
	return routing, nil
}

// requirementsOf returns none for a selector that is nil or selects nothing.
func requirementsOf(selector labels.Selector) labels.Requirements {
	if isNil(selector) {
		return nil
	}
	requirements, _ := selector.Requirements()
	return requirements
}

// requires reports whether a requirement is that a label equals a value.
func requires(r labels.Requirement, value string) bool {
	switch r.Operator() {
	case selection.Equals, selection.DoubleEquals, selection.In:
		return r.Values().Len() == 1 && r.Values().Has(value)
	default:
		return false
	}
}
