// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A story is a text file of commands with the answer of each command below it.
type story struct {
	path string
	// only is "own" or "shared" if the story runs with one constructor.
	only     string
	commands []storyCommand
	// end has the comments and blank lines after the last command.
	end []string
}

// A storyCommand is one line of a story.
type storyCommand struct {
	// place is the file and the line.
	place string
	// before has the comments and blank lines above the command.
	before []string
	text   string
	// answer has the lines that the file shows below the command.
	answer []string
}

// answerIndent begins each line of an answer.
const answerIndent = "  "

// parseStory reads the text of a story. The path is for errors.
func parseStory(path, text string) (*story, error) {
	s := &story{path: path}
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		place := fmt.Sprintf("%s:%d", path, i+1)
		if err := s.addLine(place, strings.TrimRight(line, " \t")); err != nil {
			return nil, fmt.Errorf("%s: %w", place, err)
		}
	}
	if len(s.commands) == 0 {
		return nil, fmt.Errorf("%s: the story has no commands", path)
	}
	return s, nil
}

func (s *story) addLine(place, line string) error {
	switch {
	case line == "" || strings.HasPrefix(line, "#"):
		s.end = append(s.end, line)
	case strings.HasPrefix(line, answerIndent):
		if len(s.commands) == 0 || len(s.end) > 0 {
			return fmt.Errorf("an answer without a command above it: %q", line)
		}
		last := &s.commands[len(s.commands)-1]
		last.answer = append(last.answer, strings.TrimPrefix(line, answerIndent))
	default:
		s.commands = append(s.commands, storyCommand{place: place, before: s.end, text: line})
		s.end = nil
		return s.readOnly(line)
	}
	return nil
}

// readOnly reads the command "only", which comes first.
func (s *story) readOnly(line string) error {
	words := strings.Fields(line)
	if words[0] != "only" {
		return nil
	}
	if len(s.commands) > 1 {
		return errors.New(`"only" is not the first command`)
	}
	if len(words) != 2 || !slices.Contains([]string{"own", "shared"}, words[1]) {
		return fmt.Errorf(`%q, want "only own" or "only shared"`, line)
	}
	s.only = words[1]
	return nil
}

// String returns the text of the story.
func (s *story) String() string {
	var b strings.Builder
	for _, c := range s.commands {
		for _, line := range append(slices.Clone(c.before), c.text) {
			b.WriteString(line + "\n")
		}
		b.WriteString(answerText(c.answer))
	}
	for _, line := range s.end {
		b.WriteString(line + "\n")
	}
	return b.String()
}

// answerText returns an answer as it stands in a file.
func answerText(lines []string) string {
	var b strings.Builder
	for _, line := range lines {
		b.WriteString(answerIndent + line + "\n")
	}
	return b.String()
}
