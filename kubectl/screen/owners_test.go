// SPDX-License-Identifier: Apache-2.0

package screen

import (
	"fmt"
	"testing"
	"testing/synctest"

	tea "charm.land/bubbletea/v2"
	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/watchtest"
	corev1 "k8s.io/api/core/v1"
)

// Applications of one id in two namespaces are two applications.
func TestApplicationsOfOneID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		c := cluster{server, "app-a"}
		c.create(1, 2)
		c.run(1, 2)
		c.end(2, 1, "Error")
		other := executorPod("app-a", 1)
		other.Namespace = "other"
		server.Create(other)

		term := openIn(t, server, "", "", 80, 24)
		term.require(
			"2 applications  1 running  1 pending  ✗ 1 failed",
			"   NAMESPACE    APPLICATION         RUNNING ",
			" ▸ jobs         app-a               1       0       1 ",
			"   other        app-a               0       1       0 ",
		)
		term.press("j", enter)
		term.require("app-a  other", "0 of 1 running", " ▸ 1     Pending")
		term.requireNot("exit 1")
		server.Delete("other", "app-a-exec-1")
		term.settle()
		term.require("app-a  other", "all executors have ended", "Deleted 1")
		term.press(escape)
		term.require(" ▸ other        app-a               0       0       0      2s     Deleted 1")

		term.emulator.Resize(40, 10)
		term.program.Send(tea.WindowSizeMsg{Width: 40, Height: 10})
		term.settle()
		term.require(
			"   NAMESPACE APPLICATION  RUNNING FAILED",
			"   jobs      app-a        1       1",
			" ▸ other     app-a        0       0",
		)
	})
}

// A pod whose label moves to another application leaves the first one, which lists it as
// Relabelled. It is neither deleted nor failed.
func TestRelabelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		c := cluster{server, "app-a"}
		c.create(1, 2)
		c.run(1, 2)
		term := open(t, server, "", 80, 24)
		server.Update(testSpace, "app-a-exec-2", func(pod *corev1.Pod) { pod.Labels[watchsource.LabelApp] = "app-b" })
		term.settle()
		term.require(
			"2 applications  2 running  0 pending",
			" ▸ app-a                     1       0       0      0s     Relabelled 1",
			"   app-b                     1       0       0 ",
		)
		term.requireNot("failed")
		term.press(enter, tab)
		term.require("1 of 1 running", " ▸ 2     Relabelled")
		term.press(enter)
		term.require("state         Relabelled", "last end      Relabelled, after")
		term.requireNot("the pod has been deleted")

		c.delete(2)
		term.press(escape, escape)
		term.require("   app-b                     0       0       0      3s     Deleted 1")
	})
}

// An application keeps its ends while it has no executors, and when it has new ones.
func TestApplicationComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		term := open(t, server, "", 80, 24)
		c := cluster{server, "app-a"}
		c.create(1, 1)
		c.run(1, 1)
		c.end(1, 137, "OOMKilled")
		c.delete(1)
		term.settle()
		term.require("1 applications", " ▸ app-a                     0       0       1      0s     OOMKilled 1")
		c.create(2, 2)
		c.run(2, 2)
		term.settle()
		term.require("1 applications", " ▸ app-a                     1       0       1      1s     OOMKilled 1")
	})
}

// Each application has its own batch. Batches that wait together are one message.
func TestBatchesThatWait(t *testing.T) {
	for _, ended := range []bool{false, true} {
		waiting := make(chan appBatch, 3)
		waiting <- appBatch{}
		waiting <- appBatch{}
		if ended {
			close(waiting)
		}
		if got := len(withNext(appBatch{}, waiting)); got != 3 {
			t.Errorf("got %d batches in a message, want the first and the 2 that wait; ended: %v", got, ended)
		}
	}
}

// All of many applications are shown, and the end does not wait for those that are left.
func TestManyApplications(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		const apps = 2*maxBatches + 10
		for i := range apps {
			server.Create(executorPod(fmt.Sprintf("app-%04d", i), 1))
		}
		term := open(t, server, "", 80, 24)
		term.require(fmt.Sprintf("%d applications  0 running  %d pending", apps, apps), " ▸ app-0000 ", "1-19 of ")
		for i := range apps {
			cluster{server, fmt.Sprintf("app-%04d", i)}.run(1, 1)
		}
		term.settle()
		term.require(fmt.Sprintf("%d applications  %d running     0 pending", apps, apps))
		for i := range apps {
			cluster{server, fmt.Sprintf("app-%04d", i)}.end(1, 0, "Completed")
		}
		term.emulator.Type("q")
		if err := <-term.done; err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
	})
}
