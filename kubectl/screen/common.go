// SPDX-License-Identifier: Apache-2.0

package screen

import "strings"

// A drop is a part that names have in common.
type drop int

const (
	dropNothing drop = iota
	dropPrefix
	dropSuffix
	dropBoth
)

// A common has the parts that all names of a column have in common. With each name that it sees
// they become shorter, never longer.
type common struct {
	seen       bool
	begin, end string // of all names that were seen
	dropped    drop
}

// see takes a name into account.
func (c *common) see(name string) {
	if !c.seen {
		c.seen, c.begin, c.end = true, name, name
		return
	}
	for !strings.HasPrefix(name, c.begin) {
		c.begin = c.begin[:len(c.begin)-1]
	}
	for !strings.HasSuffix(name, c.end) {
		c.end = c.end[1:]
	}
}

// prefix returns the words that are left out at the begin, with the separator behind them.
func (c *common) prefix() string {
	if c.dropped != dropPrefix && c.dropped != dropBoth {
		return ""
	}
	return c.begin[:strings.LastIndexAny(c.begin, "-.")+1]
}

// suffix returns the domain that is left out at the end, with the dot before it.
func (c *common) suffix() string {
	if c.dropped != dropSuffix && c.dropped != dropBoth {
		return ""
	}
	if dot := strings.IndexByte(c.end, '.'); dot >= 0 {
		return c.end[dot:]
	}
	return ""
}

// short returns a name that was seen without the parts that are left out. Three dots stand for
// the prefix. A name without its domain is a usual one and has no mark.
func (c *common) short(name string) string {
	if text := strings.TrimSuffix(name, c.suffix()); text != "" {
		name = text
	}
	if prefix := c.prefix(); prefix != "" && len(name) > len(prefix) && strings.HasPrefix(name, prefix) {
		return "…" + name[len(prefix):]
	}
	return name
}

// summary returns the parts that are left out, or "".
func (c *common) summary() string {
	prefix, suffix := c.prefix(), c.suffix()
	if prefix == "" && suffix == "" {
		return ""
	}
	return prefix + "…" + suffix
}
