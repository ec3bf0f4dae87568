// SPDX-License-Identifier: Apache-2.0

package screen

import (
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/charmbracelet/x/exp/golden"
	"github.com/executorpods/watchsource/kubectl/picture"
	"github.com/executorpods/watchsource/watchtest"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A recording is made of the screens of a terminal.
type recording struct {
	*terminal
	frames []picture.Frame
	text   strings.Builder // The same screens, for a reader of the differences.
}

// show adds the present screen, which the recording shows for a time of its own.
func (r *recording) show(shown time.Duration, caption string) {
	r.settle()
	caption = time.Now().Format(time.TimeOnly) + "  " + caption
	if len(caption) > r.emulator.Width() {
		r.t.Errorf("the caption %q is longer than the lines of the screen", caption)
	}
	r.frames = append(r.frames, picture.Frame{Screen: picture.Copy(r.emulator), Caption: caption, For: shown})
	fmt.Fprintf(&r.text, "%s%s, for %v\n\n", r.emulator, caption, shown)
}

// watch adds three screens of successive seconds.
func (r *recording) watch(caption string) {
	for range 3 {
		time.Sleep(time.Second - settleTime)
		r.show(time.Second, caption)
	}
}

// The recording of the README shows what the screen shows during an outage of the API server and
// after it. To update it, run the test with -update. The library draws the pauses between its
// attempts at random, so each screen is at a time when all of them show the same.
func TestOutage(t *testing.T) {
	const file = "../outage.svg"
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		rec := &recording{terminal: open(t, server, testApp, 100, 19)}
		c := cluster{server, testApp}
		started(c)
		rec.watch("The API server answers, and the watch is open.")

		lift := server.Inject(watchtest.Fault{Do: watchtest.Break(refused)})
		server.Strike(watchtest.Reset())
		time.Sleep(3 * time.Second)
		still := len(rec.frames)
		rec.watch("The API server cannot be reached. The screen keeps the last view, and says why.")
		endUnseen(c)
		rec.show(4*time.Second, "Meanwhile three executors have ended, and others have taken their place.")

		lift()
		time.Sleep(longestPause)
		c.create(13, 13)
		rec.show(5*time.Second, "The API server is back. The ends that were missed are here, with their causes and times.")
		time.Sleep(2 * time.Second)
		c.run(13, 13)
		rec.watch("The view is up to date.")

		golden.RequireEqual(t, rec.text.String())
		requireFile(t, file, picture.Recording(rec.frames, still, "The screen during an outage of the API server and after it"))
	})
}

// longestPause is longer than the library waits between two attempts in an outage of 30 seconds.
const longestPause = 21 * time.Second

// refused is the error of an API server that has stopped.
var refused = &net.OpError{
	Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(10, 96, 0, 1), Port: 443},
	Err: os.NewSyscallError("connect", syscall.ECONNREFUSED),
}

// started brings an application to a few minutes of age. Watches last for at least five.
func started(c cluster) {
	c.create(1, 8)
	time.Sleep(2 * time.Second)
	c.run(1, 8)
	time.Sleep(2 * time.Minute)
	c.end(4, 137, "OOMKilled")
	time.Sleep(time.Second)
	c.delete(4)
	c.create(9, 9)
	time.Sleep(2 * time.Second)
	c.run(9, 9)
	time.Sleep(30 * time.Second)
}

// endUnseen ends three executors in different ways, and replaces them.
func endUnseen(c cluster) {
	time.Sleep(7 * time.Second)
	c.end(7, 137, "OOMKilled")
	time.Sleep(time.Second)
	c.delete(7)
	time.Sleep(6 * time.Second)
	c.end(2, 52, "Error")
	c.delete(2)
	time.Sleep(3 * time.Second)
	c.server.Update(testSpace, c.name(5), func(pod *corev1.Pod) {
		started := pod.Status.ContainerStatuses[0].State.Running.StartedAt
		pod.Status.Phase, pod.Status.Reason = corev1.PodFailed, "Evicted"
		pod.Status.Message = "The node was low on resource: memory."
		setContainer(pod, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: 137, Reason: "Error", StartedAt: started, FinishedAt: metav1.Now(),
		}})
	})
	c.create(10, 12)
	time.Sleep(2 * time.Second)
	c.run(10, 12)
	time.Sleep(5 * time.Second)
}
