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
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

//go:embed Judge.java
var judgeSource []byte

const jdkAdvice = "install a JDK, version 17 or newer (Debian and Ubuntu: openjdk-17-jdk-headless), or set JAVA_HOME"

// A Judge is a Java program that lets Spark read pods.
type Judge struct {
	java string // path of the program
	jars string // directory
}

// NewJudge finds Java, and downloads Spark's jars if necessary. An error names the
// missing part.
func NewJudge(ctx context.Context, report func(string)) (*Judge, error) {
	java, err := findJava(ctx)
	if err != nil {
		return nil, err
	}
	jars, err := parseJars(jarList)
	if err != nil {
		return nil, err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("find cache directory: %w", err)
	}
	dir, err := fetchJars(ctx, cache, mavenCentral, jars, report)
	if err != nil {
		return nil, err
	}
	return &Judge{java, dir}, nil
}

// findJava returns the path of a java program that runs programs from their source. A
// JRE has no compiler and cannot.
func findJava(ctx context.Context) (string, error) {
	java := "java"
	if home := os.Getenv("JAVA_HOME"); home != "" {
		java = filepath.Join(home, "bin", "java")
	}
	java, err := exec.LookPath(java)
	if err != nil {
		return "", fmt.Errorf("no Java: %w; %s", err, jdkAdvice)
	}
	modules, err := exec.CommandContext(ctx, java, "--list-modules").Output()
	if err != nil {
		return "", fmt.Errorf("%s --list-modules: %w; %s", java, err, jdkAdvice)
	}
	for line := range strings.Lines(string(modules)) {
		version, found := strings.CutPrefix(strings.TrimSpace(line), "jdk.compiler@")
		if !found {
			continue
		}
		major, _, _ := strings.Cut(version, ".")
		if n, err := strconv.Atoi(major); err != nil || n < 17 {
			return "", fmt.Errorf("%s has version %s; %s", java, version, jdkAdvice)
		}
		return java, nil
	}
	return "", fmt.Errorf("%s has no compiler; %s", java, jdkAdvice)
}

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
	args := append([]string{"-cp", filepath.Join(j.jars, "*"), program}, containers...)
	command := exec.CommandContext(ctx, j.java, args...)
	command.Stdin = input
	command.Env = append(os.Environ(), "SPARK_LOCAL_IP=127.0.0.1") // or else Spark looks for an address
	output, err := command.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return nil, fmt.Errorf("the program Judge.java: %w: %s", err, exit.Stderr)
	}
	return output, err
}
