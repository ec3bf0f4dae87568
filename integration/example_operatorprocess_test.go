// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// A replica is a process of the operator.
type replica struct {
	command *exec.Cmd
	leads   chan struct{} // closed when its controller has begun to work
	ended   chan struct{} // closed when the process has ended
}

// replicas are those that run. Each is started again when it ends, as a Deployment does.
type replicas struct {
	mu      sync.Mutex
	running []*replica
	stopped bool
	wait    sync.WaitGroup
}

// supervise starts a replica, and starts it again whenever it has ended.
func (o *operatorTest) supervise(name string) {
	o.t.Helper()
	o.replicas.wait.Go(func() {
		for {
			r := o.startReplica(name)
			if r == nil {
				return
			}
			<-r.ended
			time.Sleep(time.Second)
		}
	})
}

// startReplica returns nil after the test, or if the program cannot be started.
func (o *operatorTest) startReplica(name string) *replica {
	o.replicas.mu.Lock()
	defer o.replicas.mu.Unlock()
	if o.replicas.stopped {
		return nil
	}
	r := &replica{
		command: exec.Command(o.program, "-kubeconfig", o.kubeconfig, "-lease", operatorLease.String()),
		leads:   make(chan struct{}),
		ended:   make(chan struct{}),
	}
	output, err := r.command.StderrPipe()
	if err == nil {
		err = r.command.Start()
	}
	if err != nil {
		o.t.Errorf("start %s: %v", name, err)
		return nil
	}
	go o.read(r, bufio.NewScanner(output), name)
	o.replicas.running = append(o.replicas.running, r)
	return r
}

// read logs what a replica logs, until it has ended.
func (o *operatorTest) read(r *replica, lines *bufio.Scanner, name string) {
	for lines.Scan() {
		line := lines.Text()
		if strings.Contains(line, `"Starting workers"`) {
			close(r.leads)
		}
		if !strings.Contains(line, `"level":"info"`) {
			o.t.Logf("%s: %s", name, line)
		}
	}
	_ = r.command.Wait() // most end with an error, as they should
	close(r.ended)
}

// stop kills all replicas and waits for them.
func (r *replicas) stop() {
	r.mu.Lock()
	r.stopped = true
	for _, one := range r.running {
		_ = one.command.Process.Kill() // it may have ended
	}
	r.mu.Unlock()
	r.wait.Wait()
}

// leader waits for a replica that works and has not ended.
func (o *operatorTest) leader() *replica {
	o.t.Helper()
	for begin := time.Now(); time.Since(begin) < operatorPatience; time.Sleep(50 * time.Millisecond) {
		o.replicas.mu.Lock()
		for _, r := range o.replicas.running {
			if isClosed(r.leads) && !isClosed(r.ended) {
				o.replicas.mu.Unlock()
				return r
			}
		}
		o.replicas.mu.Unlock()
	}
	o.t.Fatal("no replica leads")
	return nil
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// signalLeader sends a signal to the leader, and waits until it has ended.
func (o *operatorTest) signalLeader(signal os.Signal) {
	leader := o.leader()
	if err := leader.command.Process.Signal(signal); err != nil {
		o.t.Errorf("send %v to the leader: %v", signal, err)
	}
	<-leader.ended
	o.t.Logf("the leader has ended after %v", signal)
}
