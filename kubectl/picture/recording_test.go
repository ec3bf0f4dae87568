// SPDX-License-Identifier: Apache-2.0

package picture_test

import (
	"encoding/xml"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/vt"
	"github.com/executorpods/watchsource/kubectl/picture"
)

// frames returns a recording in which lines stay, move, change, go and come back.
func frames(t *testing.T) []picture.Frame {
	t.Helper()
	screen := vt.NewEmulator(30, 4)
	var all []picture.Frame
	for _, frame := range []struct {
		text, caption string
		shown         time.Duration
	}{
		{"name  \x1b[32mLIVE\x1b[0m\r\n1  Running\r\n2  Running", "all is well", 2 * time.Second},
		{"name  \x1b[31;7m BLIND \x1b[0m\r\n1  Running\r\n2  Running", "a < b & c", time.Second},
		{"name  \x1b[31;7m BLIND \x1b[0m\r\n1  Running\r\n2  Running", "no server", 700 * time.Millisecond},
		{"name  \x1b[32mLIVE\x1b[0m\r\n2  Running\r\n1  ended", "all is well", 3 * time.Second},
	} {
		if _, err := screen.WriteString("\x1b[2J\x1b[H" + frame.text); err != nil {
			t.Fatal(err)
		}
		all = append(all, picture.Frame{Screen: picture.Copy(screen), Caption: frame.caption, For: frame.shown})
	}
	return all
}

// An svg has the elements of a picture.
type svg struct {
	Style string `xml:"style"`
	Title string `xml:"title"`
	elements
	Groups []struct {
		Class string `xml:"class,attr"`
		elements
	} `xml:"g"`
}

type elements struct {
	Texts []element `xml:"text"`
	Rects []element `xml:"rect"`
}

type element struct {
	X     string `xml:"x,attr"`
	Y     string `xml:"y,attr"`
	Width string `xml:"width,attr"`
	Class string `xml:"class,attr"`
	Text  string `xml:",chardata"`
}

func (e elements) strings() []string {
	var all []string
	for _, element := range append(e.Texts, e.Rects...) {
		if element.Class != "page" { // it has the size of the picture
			all = append(all, strings.Join([]string{element.X, element.Y, element.Width, element.Class, element.Text}, "|"))
		}
	}
	slices.Sort(all)
	return all
}

func parse(t *testing.T, text string) svg {
	t.Helper()
	var parsed svg
	if err := xml.Unmarshal([]byte(text), &parsed); err != nil {
		t.Fatalf("the picture is no XML: %v", err)
	}
	return parsed
}

var (
	motion    = regexp.MustCompile(`(?s)@media \(prefers-reduced-motion: no-preference\) \{.*\n }\n`)
	duration  = regexp.MustCompile(`g \{ animation: ([0-9.]+)s step-end infinite }`)
	animated  = regexp.MustCompile(`\.(p\d+) \{ animation-name: (p\d+) } @keyframes (p\d+) \{ (.*) }\n`)
	keyframe  = regexp.MustCompile(`([0-9.]+)% \{ visibility: (visible|hidden) }`)
	hiddenNow = regexp.MustCompile(`\.(p\d+) \{ visibility: hidden }`)
)

// at returns the strings of the elements that are visible at a time of the animation, by the rules
// of CSS for step-end: the value of a keyframe holds until the next one.
func (s svg) at(t *testing.T, moment time.Duration) []string {
	t.Helper()
	found := duration.FindStringSubmatch(s.Style)
	if found == nil {
		t.Fatalf("no animation in steps in %s", s.Style)
	}
	seconds, err := strconv.ParseFloat(found[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	percent := 100 * moment.Seconds() / seconds
	visible := make(map[string]bool)
	for _, rule := range animated.FindAllStringSubmatch(s.Style, -1) {
		if rule[1] != rule[2] || rule[1] != rule[3] {
			t.Fatalf("got %q, want one name", rule[0])
		}
		for _, frame := range keyframe.FindAllStringSubmatch(rule[4], -1) {
			if from, err := strconv.ParseFloat(frame[1], 64); err != nil {
				t.Fatal(err)
			} else if from <= percent {
				visible[rule[1]] = frame[2] == "visible"
			}
		}
	}
	return s.shown(t, visible)
}

// shown returns the strings of the elements outside groups and in visible groups.
func (s svg) shown(t *testing.T, visible map[string]bool) []string {
	t.Helper()
	all := s.strings()
	for _, group := range s.Groups {
		shown, ok := visible[group.Class]
		if !ok {
			t.Fatalf("no rule for the group %q", group.Class)
		}
		if shown {
			all = append(all, group.strings()...)
		}
	}
	slices.Sort(all)
	return all
}

// want returns what a frame shows: its screen, and its caption below.
func want(t *testing.T, frame picture.Frame) []string {
	t.Helper()
	all := append(parse(t, picture.SVG(frame.Screen, "")).strings(), "14.0|118||bold|"+frame.Caption)
	slices.Sort(all)
	return all
}

// Each frame is visible in its time, and nothing else is.
func TestRecording(t *testing.T) {
	all := frames(t)
	got := parse(t, picture.Recording(all, 1, "a & b"))
	if got.Title != "a & b" {
		t.Errorf("got the title %q, want a & b", got.Title)
	}
	var begin time.Duration
	for i, frame := range all {
		for _, moment := range []time.Duration{begin + time.Millisecond, begin + frame.For/2, begin + frame.For - time.Millisecond} {
			if shown, want := got.at(t, moment), want(t, frame); !slices.Equal(shown, want) {
				t.Errorf("at %v, in frame %d, got\n%s\nwant\n%s", moment, i, strings.Join(shown, "\n"), strings.Join(want, "\n"))
			}
		}
		begin += frame.For
	}
}

// A reader that does not know the animation, or whose user prefers reduced motion, shows the
// still frame.
func TestRecordingWithoutMotion(t *testing.T) {
	all := frames(t)
	for still, frame := range all {
		got := parse(t, picture.Recording(all, still, "title"))
		rules := motion.ReplaceAllString(got.Style, "")
		if strings.Contains(rules, "animation") || strings.Contains(rules, "keyframes") {
			t.Errorf("an animation for users who prefer reduced motion: %s", rules)
		}
		visible := make(map[string]bool)
		for _, group := range got.Groups {
			visible[group.Class] = true
		}
		for _, rule := range hiddenNow.FindAllStringSubmatch(rules, -1) {
			visible[rule[1]] = false
		}
		if shown, want := got.shown(t, visible), want(t, frame); !slices.Equal(shown, want) {
			t.Errorf("without motion got\n%s\nwant frame %d\n%s", strings.Join(shown, "\n"), still, strings.Join(want, "\n"))
		}
	}
}

// What frames have in common is in the picture once, also if frames without it are in between.
func TestRecordingShares(t *testing.T) {
	got := picture.Recording(frames(t), 0, "title")
	for text, want := range map[string]int{
		">name<":        1, // in all frames
		">LIVE<":        1, // in the first and the last
		"> BLIND <":     1,
		">all is well<": 1,
		">1<":           2, // on two lines
		">Running<":     2,
	} {
		if n := strings.Count(got, text); n != want {
			t.Errorf("got %s %d times, want %d:\n%s", text, n, want, got)
		}
	}
}

// A picture in a README may have no script, and nothing from elsewhere.
func TestRecordingIsOneFile(t *testing.T) {
	got := picture.Recording(frames(t), 0, "title")
	for _, not := range []string{"<script", "href", "url(", "@import", " on"} {
		if strings.Contains(got, not) {
			t.Errorf("got %s in\n%s", not, got)
		}
	}
}

// A copy of a screen keeps what the screen showed.
func TestCopy(t *testing.T) {
	screen := vt.NewEmulator(10, 2)
	write := func(text string) {
		if _, err := screen.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	write("\x1b[31mbefore")
	before := picture.SVG(screen, "")
	kept := picture.Copy(screen)
	write("\x1b[2J\x1b[H\x1b[32mafter")
	if got := picture.SVG(kept, ""); got != before {
		t.Errorf("got\n%s\nwant\n%s", got, before)
	}
}
