// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

const (
	exitNotStarted = 128 // what containerd reports for a container that cannot start
	exitSignal     = 128 // added to the number of the signal, as shells and runtimes do
)

// ErrNoProcess is the error for a pod that has no process now.
var ErrNoProcess = errors.New("the pod has no process")

// A Runtime runs executor containers as processes of this machine: the command,
// the arguments and the environment are those of the container. The image, the
// volumes, the working directory, the resources and the probes are ignored.
type Runtime struct {
	// Entrypoint is the entrypoint of every image: the command of a container that
	// names none.
	Entrypoint []string
	// Environment is that of every image. The container's comes on top.
	Environment []string
	// Dir has a directory for each pod, with its name: the working directory, and in it
	// the output in the file output.log.
	Dir string

	mu        sync.Mutex
	processes map[types.UID]*process
}

// A process is a container that has been started, or could not be.
type process struct {
	command *exec.Cmd // nil if it could not be started
	ended   chan struct{}
	end     end // once it has ended

	terminating bool   // SIGTERM has been sent
	eviction    string // the message of its eviction
}

func (p *process) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// start starts the container of a pod unless that has happened already. It calls exited
// when the process has ended.
func (r *Runtime) start(pod *corev1.Pod, container *corev1.Container, exited func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.processes[pod.UID] != nil {
		return
	}
	p := &process{ended: make(chan struct{})}
	if r.processes == nil {
		r.processes = map[types.UID]*process{}
	}
	r.processes[pod.UID] = p
	command, err := r.launch(pod, container)
	if err != nil {
		p.end = end{code: exitNotStarted, reason: "StartError", message: err.Error()}
		close(p.ended)
		return
	}
	p.command = command
	go func() {
		_ = command.Wait() // the state says the same
		p.end = endOf(command.ProcessState)
		close(p.ended)
		exited()
	}()
}

// launch starts a process group, so that a signal reaches the children too, as it
// reaches all processes of a container that is killed.
func (r *Runtime) launch(pod *corev1.Pod, container *corev1.Container) (*exec.Cmd, error) {
	environment, expand, err := environment(pod, container)
	if err != nil {
		return nil, err
	}
	words := container.Command
	if len(words) == 0 {
		words = r.Entrypoint
	}
	words = expand(append(words[:len(words):len(words)], container.Args...))
	if len(words) == 0 {
		return nil, errors.New("no command specified")
	}
	dir := filepath.Join(r.Dir, pod.Name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	output, err := os.Create(filepath.Join(dir, "output.log"))
	if err != nil {
		return nil, err
	}
	defer output.Close()
	command := exec.Command(words[0], words[1:]...)
	command.Env = append(r.Environment[:len(r.Environment):len(r.Environment)], environment...)
	command.Dir = dir
	command.Stdout, command.Stderr = output, output
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := command.Start(); err != nil {
		return nil, err
	}
	return command, nil
}

func endOf(state *os.ProcessState) end {
	code := int32(state.ExitCode())
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		code = exitSignal + int32(status.Signal())
	}
	if code == 0 {
		return end{reason: "Completed"}
	}
	return end{code: code, reason: "Error"}
}

// of returns the process of a pod, or nil.
func (r *Runtime) of(pod types.UID) *process {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.processes[pod]
}

// end returns how the process of a pod ended, or nil while it runs. A pod that this
// runtime has not started ends as a container does that the kubelet cannot find.
func (r *Runtime) end(pod types.UID) *end {
	p := r.of(pod)
	if p == nil {
		return &end{code: exitKilled, reason: "ContainerStatusUnknown", message: "The container could not be located"}
	}
	if !p.hasEnded() {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	e := p.end
	e.eviction = p.eviction
	return &e
}

// terminate asks the process of a pod to end, once, or kills it. It reports whether
// there is one.
func (r *Runtime) terminate(pod types.UID, kill bool) bool {
	p := r.of(pod)
	if p == nil || p.hasEnded() {
		return false
	}
	if kill {
		_ = r.Signal(pod, syscall.SIGKILL) // an error says that it has just ended
		return true
	}
	r.mu.Lock()
	first := !p.terminating
	p.terminating = true
	r.mu.Unlock()
	if first {
		_ = r.Signal(pod, syscall.SIGTERM)
	}
	return true
}

// Evict kills the process of a pod, as a kubelet does whose node lacks a resource. The
// status of the pod shows the eviction and the message.
func (r *Runtime) Evict(pod types.UID, message string) error {
	p := r.of(pod)
	if p == nil || p.hasEnded() {
		return fmt.Errorf("evict pod %s: %w", pod, ErrNoProcess)
	}
	r.mu.Lock()
	p.eviction = message
	r.mu.Unlock()
	return r.Signal(pod, syscall.SIGKILL)
}

// Signal sends a signal to the processes of a pod.
func (r *Runtime) Signal(pod types.UID, signal syscall.Signal) error {
	p := r.of(pod)
	if p == nil || p.hasEnded() {
		return fmt.Errorf("signal pod %s: %w", pod, ErrNoProcess)
	}
	if err := syscall.Kill(-p.command.Process.Pid, signal); err != nil {
		return fmt.Errorf("signal pod %s: %w", pod, err)
	}
	return nil
}

// stop kills the processes of all pods and waits for their end.
func (r *Runtime) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.processes {
		if !p.hasEnded() {
			_ = syscall.Kill(-p.command.Process.Pid, syscall.SIGKILL)
		}
	}
	for _, p := range r.processes {
		<-p.ended
	}
}
