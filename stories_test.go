// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
)

var rewrite = flag.Bool("rewrite", false, "TestStories writes what it observes into testdata/stories")

// Each file in testdata/stories is a fault and its consequences, see the README there. Every
// story runs with both constructors, and both must give the same answers.
func TestStories(t *testing.T) {
	paths, err := filepath.Glob("testdata/stories/*.txt")
	must(t, err)
	if len(paths) < 40 {
		t.Errorf("%d stories in testdata/stories, want at least 40", len(paths))
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			checkStoryOfFile(t, path)
		})
	}
}

func checkStoryOfFile(t *testing.T, path string) {
	text, err := os.ReadFile(path)
	must(t, err)
	story, err := parseStory(path, string(text))
	must(t, err)
	if *rewrite {
		must(t, story.rewrite(t))
		must(t, os.WriteFile(path, []byte(story.String()), 0o644))
	}
	for _, constructor := range story.constructors() {
		t.Run(constructor.name, func(t *testing.T) {
			for _, err := range story.check(t, constructor) {
				t.Error(err)
			}
		})
	}
}

// A constructor is a way to make a source, under its name in subtests.
type constructor struct {
	name      string
	newSource modeltest.NewSource
}

var constructors = []constructor{
	{name: "own watch", newSource: watchsource.NewWatchSnapshotSource},
	{name: "shared watch", newSource: modeltest.Shared},
}

// constructors returns those that the story runs with.
func (s *story) constructors() []constructor {
	var chosen []constructor
	for _, c := range constructors {
		if s.only == "" || strings.HasPrefix(c.name, s.only+" ") {
			chosen = append(chosen, c)
		}
	}
	return chosen
}

// check runs the story and returns an error for each command that fails or has another answer
// than in the file.
func (s *story) check(t *testing.T, c constructor) []error {
	answers, err := s.run(t, c)
	if err != nil {
		return []error{err}
	}
	var errs []error
	for i, command := range s.commands {
		if got, want := answerText(answers[i]), answerText(command.answer); got != want {
			errs = append(errs, fmt.Errorf("%s: %q answers\n%sand the file has\n%s(go test -run TestStories . -rewrite writes the new answers into the file)",
				command.place, command.text, got, want))
		}
	}
	return errs
}

// rewrite replaces the answers of the story by those of its first constructor.
func (s *story) rewrite(t *testing.T) error {
	answers, err := s.run(t, s.constructors()[0])
	if err != nil {
		return err
	}
	for i := range s.commands {
		s.commands[i].answer = answers[i]
	}
	return nil
}

// run runs the commands of the story in a bubble and returns their answers. The first command
// that fails ends the story.
func (s *story) run(t *testing.T, c constructor) (answers [][]string, err error) {
	synctest.Test(t, func(t *testing.T) {
		stage := &stage{t: t, newSource: c.newSource}
		defer stage.close()
		for _, command := range s.commands {
			answer, failure := stage.do(command.text)
			if failure != nil {
				err = fmt.Errorf("%s: %q: %w", command.place, command.text, failure)
				return
			}
			answers = append(answers, answer)
		}
	})
	if err == nil && !s.proves(answers) {
		err = fmt.Errorf("%s: the story proves nothing: add a want, or a command that answers", s.path)
	}
	return answers, err
}

// proves reports whether a command of the story can fail by what the source does.
func (s *story) proves(answers [][]string) bool {
	for i, command := range s.commands {
		if len(answers[i]) > 0 || strings.HasPrefix(command.text, "want ") {
			return true
		}
	}
	return false
}
