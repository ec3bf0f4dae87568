// SPDX-License-Identifier: Apache-2.0

// Package namespaces checks the names that a user gives for namespaces.
package namespaces

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// Check returns why the names given to WithNamespaces cannot be watched.
func Check(names []string) error {
	if len(names) == 0 {
		return errors.New("WithNamespaces has no name: name at least one namespace, or leave the option out to watch all")
	}
	seen := map[string]bool{}
	for _, name := range names {
		switch problems := validation.IsDNS1123Label(name); {
		case name == "":
			return fmt.Errorf("WithNamespaces(%s) has an empty name: leave the name out, or leave the option out to watch all namespaces", Quoted(names))
		case len(problems) > 0:
			return fmt.Errorf("WithNamespaces: %q cannot be the name of a namespace: %s", name, strings.Join(problems, "; "))
		case seen[name]:
			return fmt.Errorf("WithNamespaces has the name %q twice: give each name once", name)
		}
		seen[name] = true
	}
	return nil
}

// maxQuoted is how many names an error shows.
const maxQuoted = 5

// Quoted returns names for an error.
func Quoted(names []string) string {
	var all []string
	for _, name := range names[:min(len(names), maxQuoted)] {
		all = append(all, strconv.Quote(name))
	}
	if more := len(names) - maxQuoted; more > 0 {
		all = append(all, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(all, ", ")
}
