// SPDX-License-Identifier: Apache-2.0

//go:build unix

package screen

import "golang.org/x/sys/unix"

// A process has a process group and a session.
type process struct{ id, group, session int }

// suspendable reports whether a shell with job control can continue this process.
func suspendable() bool {
	self, ok := processOf(unix.Getpid())
	parent, parentOK := processOf(unix.Getppid())
	return ok && parentOK && continuable(self, parent)
}

// continuable reports whether a process in the session of self, but of another process group, waits for
// the group of self. A shell with job control does: it gives each job a group. Without one the
// session's leader is in the group, or the group is orphaned, and the system does not stop it for SIGTSTP.
func continuable(self, parent process) bool {
	return self.id != 1 && self.group != self.session && parent.session == self.session
}

// processOf returns a process. It fails if the process has ended, or is in another PID namespace.
func processOf(id int) (process, bool) {
	if id == 0 {
		return process{}, false
	}
	group, err := unix.Getpgid(id)
	if err != nil {
		return process{}, false
	}
	session, err := unix.Getsid(id)
	return process{id, group, session}, err == nil
}
