// SPDX-License-Identifier: Apache-2.0

package routing_test

import (
	"errors"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/executorpods/watchsource/internal/routing"
)

// selectorOf parses a text in which APP is the application id.
func selectorOf(text string) func(string) labels.Selector {
	return func(appID string) labels.Selector {
		selector, err := labels.Parse(strings.ReplaceAll(text, "APP", appID))
		if err != nil {
			panic(err)
		}
		return selector
	}
}

// inTurn returns one selector for the first application that is asked for, and then another.
func inTurn(one, other string) func(string) labels.Selector {
	next := []string{one, other}
	return func(appID string) labels.Selector {
		text := next[0]
		next = next[1:]
		return selectorOf(text)(appID)
	}
}

var selectors = []struct {
	name     string
	selector func(string) labels.Selector
	// key is empty if there is no such label.
	key string
	// all and some select the pods of all applications, and of x and y.
	all, some string
}{
	{name: "one label", selector: selectorOf("app=APP"), key: "app", all: "app", some: "app in (x,y)"},
	{name: "==", selector: selectorOf("app==APP"), key: "app", all: "app", some: "app in (x,y)"},
	{name: "in", selector: selectorOf("app in (APP)"), key: "app", all: "app", some: "app in (x,y)"},
	{name: "beside others", selector: selectorOf("app=APP,role=executor,!old"), key: "app",
		all: "app,!old,role=executor", some: "app in (x,y),!old,role=executor"},
	{name: "no function"},
	{name: "nil", selector: func(string) labels.Selector { return nil }},
	{name: "a nil pointer", selector: func(string) labels.Selector { return (*nilSelector)(nil) }},
	{name: "everything", selector: selectorOf("")},
	{name: "nothing", selector: func(string) labels.Selector { return labels.Nothing() }},
	{name: "not the application", selector: selectorOf("role=executor")},
	{name: "two labels", selector: selectorOf("app=APP,owner=APP")},
	{name: "a part of the value", selector: selectorOf("app=spark-APP")},
	{name: "a part beside the whole", selector: selectorOf("app=APP,owner=spark-APP")},
	{name: "not equal", selector: selectorOf("app!=APP")},
	{name: "notin", selector: selectorOf("app notin (APP)")},
	{name: "one of two values", selector: selectorOf("app in (APP,default)")},
	{name: "in the key", selector: selectorOf("app-APP=1")},
	{name: "in the key and the value", selector: selectorOf("app-APP=APP")},
	{name: "more requirements for one", selector: inTurn("app=APP,role=executor", "app=APP")},
	{name: "more requirements for the other", selector: inTurn("app=APP", "app=APP,role=executor")},
	{name: "one value and two", selector: inTurn("app=APP", "app in (APP,default)")},
	{name: "two values and one", selector: inTurn("app in (APP,default)", "app=APP")},
}

func TestOf(t *testing.T) {
	for _, c := range selectors {
		t.Run(c.name, func(t *testing.T) {
			label, err := routing.Of(c.selector)
			if c.key == "" {
				if !errors.Is(err, routing.ErrNone) {
					t.Errorf("Of = %q, %v; want ErrNone", label.Key, err)
				}
				return
			}
			if err != nil || label.Key != c.key {
				t.Fatalf("Of = %q, %v; want %q", label.Key, err, c.key)
			}
			if got := label.Selector().String(); got != c.all {
				t.Errorf("the selector of all is %q, want %q", got, c.all)
			}
			if got := label.SelectorOf([]string{"x", "y"}).String(); got != c.some {
				t.Errorf("the selector of x and y is %q, want %q", got, c.some)
			}
			if got := label.Selector().String(); got != c.all {
				t.Errorf("the selector of all is %q after that of some, want %q", got, c.all)
			}
		})
	}
}

// nilSelector panics in every method, because its interface is nil.
type nilSelector struct{ labels.Selector }

// The error names the requirements that differ.
func TestErrorNamesTheDifference(t *testing.T) {
	_, err := routing.Of(selectorOf("app=APP,owner=APP"))
	if err == nil || !strings.Contains(err.Error(), `(it differs in "owner=watchsource-1" and "owner=watchsource-2")`) {
		t.Errorf("Of = %v, want an error with the two requirements", err)
	}
}
