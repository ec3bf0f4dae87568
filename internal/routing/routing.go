// SPDX-License-Identifier: Apache-2.0

// Package routing finds the label that says which application a pod belongs to.
package routing

import (
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"

	"github.com/executorpods/watchsource/internal/isnil"
)

// A Label tells which application a pod belongs to.
type Label struct {
	// Key is the key of the label. The value is the application id.
	Key string
	// common are the requirements that the selectors of all applications have.
	common labels.Requirements
}

// Selector selects the pods of all applications.
func (r Label) Selector() labels.Selector {
	exists, _ := labels.NewRequirement(r.Key, selection.Exists, nil) // the key is valid
	return labels.NewSelector().Add(r.common...).Add(*exists)
}

// SelectorOf selects the pods of some applications.
func (r Label) SelectorOf(appIDs []string) labels.Selector {
	in, _ := labels.NewRequirement(r.Key, selection.In, appIDs) // Start has checked the ids
	return labels.NewSelector().Add(r.common...).Add(*in)
}

// ErrNone is the error of selectors that do not have such a label.
var ErrNone = errors.New("a shared watch needs a selector in which exactly one label equals the application id: see WithSelector")

// Of finds the label by comparing the selectors of two applications. The error wraps ErrNone.
func Of(selector func(appID string) labels.Selector) (Label, error) {
	if selector == nil {
		return Label{}, ErrNone
	}
	const one, other = "watchsource-1", "watchsource-2"
	ofOne, ofOther := requirementsOf(selector(one)), requirementsOf(selector(other))
	if len(ofOne) != len(ofOther) {
		return Label{}, ErrNone
	}
	var routing Label
	for i, a := range ofOne {
		b := ofOther[i]
		switch {
		case a.Equal(b):
			routing.common = append(routing.common, a)
		case routing.Key == "" && a.Key() == b.Key() && requires(a, one) && requires(b, other):
			routing.Key = a.Key()
		default:
			return Label{}, fmt.Errorf("%w (it differs in %q and %q)", ErrNone, &a, &b)
		}
	}
	if routing.Key == "" {
		return Label{}, ErrNone
	}
	return routing, nil
}

// requirementsOf returns none for a selector that is nil or selects nothing.
func requirementsOf(selector labels.Selector) labels.Requirements {
	if isnil.Value(selector) {
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
