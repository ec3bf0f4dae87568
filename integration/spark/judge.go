// SPDX-License-Identifier: Apache-2.0

package spark

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

//go:embed Judge.java
var judgeSource []byte

// A Judge is a Java program that lets Spark read pods.
type Judge struct{ installation *Installation }

// An Answer is what Spark makes of a pod.
type Answer struct {
	// All is the state with spark.kubernetes.executor.checkAllContainers, and Only the
	// state without it. A state is the name of Spark's class, for example PodRunning. It
	// is "-" for a pod that Spark leaves out, and "!" with the name of an exception for a
	// pod at which Spark throws one.
	All, Only string
	// ExitCode is the code that Spark's lifecycle manager finds for a pod that has ended.
	ExitCode string
}

// Ask returns an answer for each pod and each name of the executor container.
func (j *Judge) Ask(ctx context.Context, pods []*corev1.Pod, containers ...string) ([][]Answer, error) {
	var input bytes.Buffer
	for _, pod := range pods {
		if err := json.NewEncoder(&input).Encode(pod); err != nil {
			return nil, fmt.Errorf("encode pod %s: %w", pod.Name, err)
		}
	}
	output, err := j.run(ctx, &input, containers)
	if err != nil {
		return nil, err
	}
	var answers [][]Answer
	for lines := bufio.NewScanner(bytes.NewReader(output)); lines.Scan(); {
		columns := strings.Split(lines.Text(), "\t")
		if len(columns) != 3*len(containers) {
			return nil, fmt.Errorf("the program Judge.java printed %q, want three columns for each of %q", lines.Text(), containers)
		}
		var ofPod []Answer
		for i := 0; i < len(columns); i += 3 {
			ofPod = append(ofPod, Answer{columns[i], columns[i+1], columns[i+2]})
		}
		answers = append(answers, ofPod)
	}
	if len(answers) != len(pods) {
		return nil, fmt.Errorf("the program Judge.java gave %d answers for %d pods", len(answers), len(pods))
	}
	return answers, nil
}

func (j *Judge) run(ctx context.Context, input *bytes.Buffer, containers []string) ([]byte, error) {
	dir, err := os.MkdirTemp("", "spark-judge-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "Judge.java")
	if err := os.WriteFile(program, judgeSource, 0o644); err != nil {
		return nil, err
	}
	command := j.installation.Java(ctx, nil, append([]string{program}, containers...)...)
	command.Stdin = input
	output, err := command.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return nil, fmt.Errorf("the program Judge.java: %w: %s", err, exit.Stderr)
	}
	return output, err
}
