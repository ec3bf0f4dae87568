// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"errors"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/executorpods/watchsource/watchtest"
)

// wrongStories are the cases of TestStoryErrors.
var wrongStories = []struct {
	story string
	want  string
}{
	{story: "# nothing\n", want: "s.txt: the story has no commands"},
	{story: "create 1\ncreate 2\n", want: "s.txt: the story proves nothing"},
	{story: "  started\nstart\n", want: `s.txt:1: an answer without a command above it`},
	{story: "start\n# here\n  started\n", want: `s.txt:3: an answer without a command above it`},
	{story: "start\n\nwander off\n", want: `s.txt:3: "wander off": unknown command`},
	{story: "start\nwant relists=1\n", want: `s.txt:2: "want relists=1": relists=0`},
	{story: "start\nwant Retrying\n", want: `s.txt:2: "want Retrying": the status is {Phase:Watching`},
	{story: "start\nwant peace\n", want: `s.txt:2: "want peace": unknown condition "peace"`},
	{story: "start\nwant crumbs=1\n", want: `unknown number "crumbs"`},
	{story: "start\nwant\n", want: "a condition is missing"},
	{story: "create 1\nwant equal-to-list\n", want: "0 executors, want 1 as in a LIST"},
	{story: "start\n  started\nview\n  exec-1 Running\n", want: "s.txt:3: \"view\" answers\n  nothing\nand the file has\n  exec-1 Running\n"},
	{story: "create 1\n  done\nwant executors=0\n", want: "s.txt:1: \"create 1\" answers\nand the file has\n  done\n"},
	{story: "create\n", want: "the id is missing"},
	{story: "create 1 Asleep\n", want: `unknown phase "Asleep"`},
	{story: "create 1\ncreate 1\n", want: "s.txt:2: \"create 1\": exec-1 exists"},
	{story: "create 1\nupdate 1\n", want: "the phase is missing"},
	{story: "update 2 Failed\n", want: "exec-2 does not exist"},
	{story: "delete 2\n", want: "exec-2 does not exist"},
	{story: "create 1 Running now\n", want: `unknown argument "now"`},
	{story: "start\nserver expired-at-connect\n", want: "must come before all commands"},
	{story: "server fast\n", want: "unknown option of a server: fast"},
	{story: "start speed=1s\n", want: `unknown argument "speed=1s"`},
	{story: "start stall-timeout=1\n", want: "stall-timeout: time: missing unit"},
	{story: "start\nstop\nstart stall-timeout=1m\n", want: "options of a source that exists already"},
	{story: "strike thunder\n", want: `unknown effect "thunder"`},
	{story: "strike idle 3s\n", want: "the effect is missing"},
	{story: "strike lose some\n", want: `events is "some", want a number`},
	{story: "strike answer 418\n", want: `unknown status "418"`},
	{story: "inject on=get cut\n", want: `unknown verb "get"`},
	{story: "inject from=here cut\n", want: "want from=held"},
	{story: "inject from=held cut\n", want: `there is no "start" before it`},
	{story: "inject times=x cut\n", want: `times is "x", want a number`},
	{story: "lift\n", want: "there is no such fault"},
	{story: "inject as=a cut\nlift b\n", want: "there is no such fault"},
	{story: "restore\n", want: `there is no "backup" before it`},
	{story: "sleep well\n", want: `time: invalid duration "well"`},
	{story: "healthy 3m\n", want: `there is no "start" before it`},
	{story: "start\nonly own\n", want: `s.txt:2: "only" is not the first command`},
	{story: "only mine\n", want: `want "only own" or "only shared"`},
}

// The errors of a story name the file and the line.
func TestStoryErrors(t *testing.T) {
	for _, test := range wrongStories {
		if err := storyError(t, test.story); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("story %q: %v, want an error that says %q", test.story, err, test.want)
		}
	}
}

// storyError parses a story and checks it with the first of its constructors.
func storyError(t *testing.T, text string) error {
	story, err := parseStory("s.txt", text)
	if err != nil {
		return err
	}
	return errors.Join(story.check(t, story.constructors()[0])...)
}

// -rewrite changes the answers of a story and nothing else, and the new text passes.
func TestStoryRewrite(t *testing.T) {
	const before = "# A pod.\nonly shared\ncreate 1\n  old\n\n# Now.\nstart\nview\n  exec-2 Running\n\n# The end.\n"
	const after = "# A pod.\nonly shared\ncreate 1\n\n# Now.\nstart\n  started\nview\n  exec-1 Pending\n\n# The end.\n"
	story, err := parseStory("s.txt", before)
	must(t, err)
	if got := story.constructors(); len(got) != 1 || got[0].name != "shared watch" {
		t.Errorf("the story runs with %v, want the shared watch", got)
	}
	must(t, story.rewrite(t))
	if got := story.String(); got != after {
		t.Errorf("rewritten to\n%s\nwant\n%s", got, after)
	}
	must(t, storyError(t, after))
}

// The README of the stories has each command, effect, status, phase and number.
func TestStoriesAreDocumented(t *testing.T) {
	readme, err := os.ReadFile("testdata/stories/README.md")
	must(t, err)
	stage := &stage{t: t, newSource: constructors[0].newSource}
	stage.setServer(watchtest.NewServer())
	for what, names := range map[string][]string{
		"command": slices.Collect(maps.Keys(commands)), "effect": slices.Collect(maps.Keys(plainEffects)),
		"effect with parameters": slices.Collect(maps.Keys(parameterEffects)), "status": slices.Collect(maps.Keys(refusals)),
		"phase": slices.Collect(maps.Keys(phases)), "number": slices.Collect(maps.Keys(stage.counts())),
		"option of start": slices.Collect(maps.Keys(sourceOptions)), "option of a server": slices.Collect(maps.Keys(serverOptions)),
	} {
		for _, name := range names {
			if !strings.Contains(string(readme), "`"+name) {
				t.Errorf("testdata/stories/README.md lacks the %s %q, want a row for it", what, name)
			}
		}
	}
}

// The stories that DESIGN.md names exist.
func TestDesignNamesStories(t *testing.T) {
	design, err := os.ReadFile("DESIGN.md")
	must(t, err)
	named := regexp.MustCompile("`TestStories/([a-z0-9-]+)`").FindAllStringSubmatch(string(design), -1)
	if len(named) < 5 {
		t.Errorf("DESIGN.md names %d stories, want at least 5", len(named))
	}
	for _, match := range named {
		if _, err := os.Stat("testdata/stories/" + match[1] + ".txt"); err != nil {
			t.Errorf("DESIGN.md names a story that does not exist: %v", err)
		}
	}
}
