// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
	"time"
)

// introduce prints what will happen, and the header of the table.
func (d *demo) introduce() {
	fmt.Fprintf(d.out, `Three replicas divide %d applications among themselves, which takes a few seconds. Once a second an executor of
each application fails, and the replica that owns the application handles the end. The demo ends after %v, or
with Ctrl-C.

%s
`, d.apps, d.runFor, strings.TrimPrefix(d.plan(), "\n"))
	fmt.Fprintf(d.out, "\n%5s  %-38s  %12s\n", "", "applications of", "ends")
	fmt.Fprintf(d.out, "%5s  %9s  %9s  %9s  %5s  %12s  %7s\n", "time", names[0], names[1], names[2], "all", "handled", "waiting")
}

func (d *demo) plan() string {
	if d.cutAfter == 0 {
		return "No replica fails (-cut-after 0)."
	}
	return fmt.Sprintf(`
After %v %s loses its connection to the Leases, which looks to the others as if it had been killed.
It stops acting 10 s after its last renewal. 5 s later its Lease is dead, and the others take over its
applications: within 20 s in all. Until then the ends of these applications wait, and none is lost.`, d.cutAfter, names[victim])
}

// event prints a line about an event, with its time.
func (d *demo) event(at time.Duration, format string, args ...any) {
	fmt.Fprintf(d.out, "%5s  > %s\n", at, fmt.Sprintf(format, args...))
}

// conclude prints the result at the end of the table.
func (d *demo) conclude(took time.Duration) {
	reason := "the time is over (-for)"
	if took < d.runFor {
		reason = "asked to stop"
	}
	handled, waiting := d.platform.ends()
	fmt.Fprintf(d.out, "\nThe demo ends after %v: %s.\n", took, reason)
	fmt.Fprintf(d.out, "%d of %d ends have been handled, %d wait.\n", handled, handled+waiting, waiting)
	switch {
	case d.wasCut == 0:
	case d.takenOver == 0:
		fmt.Fprintf(d.out, "The others have not taken over the applications of %s yet: give -for more than %v.\n",
			names[victim], d.wasCut+20*time.Second)
	default:
		fmt.Fprintf(d.out, "%s stopped acting %v after it had lost its connection, and the others acted for its applications after %v.\n",
			names[victim], d.stoppedActing-d.wasCut, d.takenOver-d.wasCut)
	}
}
