// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// arguments are the words of a command, which the command takes one by one. The first error is
// kept, and the methods return zero values after it.
type arguments struct {
	command string
	words   []string
	err     error
}

func newArguments(line string) *arguments {
	words := strings.Fields(line)
	return &arguments{command: words[0], words: words[1:]}
}

func (a *arguments) fail(err error) {
	if a.err == nil {
		a.err = err
	}
}

// unused returns the first error, or one for the words that the command has not taken.
func (a *arguments) unused() error {
	if a.err == nil && len(a.words) > 0 {
		return fmt.Errorf("unknown argument %q", a.words[0])
	}
	return a.err
}

// word takes the next word, except options. The name is for the error if all words are taken.
func (a *arguments) word(name string) string {
	for i, word := range a.words {
		if !isOption(word) {
			a.words = slices.Delete(a.words, i, i+1)
			return word
		}
	}
	a.fail(fmt.Errorf("the %s is missing", name))
	return ""
}

// isOption reports whether a word has the form name=value.
func isOption(word string) bool {
	name, _, found := strings.Cut(word, "=")
	return found && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz-") == ""
}

// rest takes all words that are left, except options.
func (a *arguments) rest() []string {
	var rest, options []string
	for _, word := range a.words {
		if isOption(word) {
			options = append(options, word)
		} else {
			rest = append(rest, word)
		}
	}
	a.words = options
	return rest
}

// all takes all words.
func (a *arguments) all() []string {
	all := a.words
	a.words = nil
	return all
}

// flag takes a word if it is there.
func (a *arguments) flag(name string) bool {
	i := slices.Index(a.words, name)
	if i >= 0 {
		a.words = slices.Delete(a.words, i, i+1)
	}
	return i >= 0
}

// option takes the option name=value and returns its value.
func (a *arguments) option(name string) (string, bool) {
	for i, word := range a.words {
		if value, ok := strings.CutPrefix(word, name+"="); ok {
			a.words = slices.Delete(a.words, i, i+1)
			return value, true
		}
	}
	return "", false
}

func (a *arguments) duration(name string) (time.Duration, bool) {
	text, ok := a.option(name)
	if !ok {
		return 0, false
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		a.fail(fmt.Errorf("%s: %w", name, err))
	}
	return d, true
}

func (a *arguments) optionalNumber(name string) int {
	text, ok := a.option(name)
	if !ok {
		return 0
	}
	return a.parseNumber(name, text)
}

func (a *arguments) number(name string) int { return a.parseNumber(name, a.word(name)) }

func (a *arguments) parseNumber(name, text string) int {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		a.fail(fmt.Errorf("%s is %q, want a number from 0 up", name, text))
	}
	return n
}

func (a *arguments) time(name string) time.Duration {
	d, err := time.ParseDuration(a.word(name))
	if err != nil {
		a.fail(fmt.Errorf("%s: %w", name, err))
	}
	return d
}

// podPhases has the phases of a pod.
var podPhases = []corev1.PodPhase{corev1.PodPending, corev1.PodRunning, corev1.PodSucceeded, corev1.PodFailed}

// phase takes the phase of a pod if there is a word left.
func (a *arguments) phase(missing corev1.PodPhase) corev1.PodPhase {
	if a.err != nil || len(a.words) == 0 {
		return missing
	}
	word := corev1.PodPhase(a.word("phase"))
	if !slices.Contains(podPhases, word) {
		a.fail(fmt.Errorf("unknown phase %q", word))
	}
	return word
}
