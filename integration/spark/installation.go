// SPDX-License-Identifier: Apache-2.0

package spark

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

const jdkAdvice = "install a JDK, version 17 or newer (Debian and Ubuntu: openjdk-17-jdk-headless), or set JAVA_HOME"

// An Installation is a JDK and the jars of Spark.
type Installation struct {
	// Version of Spark.
	Version string
	// Home has the jars in its directory jars, as Spark's variable SPARK_HOME demands.
	Home  string
	scala string // version that Spark was built for
	java  string // path of the program
}

// Install finds Java, and downloads Spark's jars if necessary. An error names the
// missing part.
func Install(ctx context.Context, report func(string)) (*Installation, error) {
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
	home := filepath.Join(cache, "watchsource-integration", homeOf(jarList, jars))
	if err := fetchJars(ctx, filepath.Join(home, "jars"), mavenCentral, jars, report); err != nil {
		return nil, err
	}
	_, scala, _ := strings.Cut(jars[0].artifact, "_")
	return &Installation{jars[0].version, home, scala, java}, nil
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

// Environment is that of this process with the variables that Spark reads.
func (i *Installation) Environment() []string {
	return append(os.Environ(),
		"SPARK_HOME="+i.Home,
		"SPARK_SCALA_VERSION="+i.scala,
		"SPARK_LOCAL_IP=127.0.0.1", // or else Spark looks for an address
		"WATCHSOURCE_JAVA="+i.java)
}

// Java returns the command that runs java with Spark's jars and others on the class path.
// The arguments begin with java's options, if any, and the class or the source file.
func (i *Installation) Java(ctx context.Context, jars []string, args ...string) *exec.Cmd {
	path := strings.Join(append([]string{i.classPath()}, jars...), string(filepath.ListSeparator))
	command := exec.CommandContext(ctx, i.java, append([]string{"-cp", path}, args...)...)
	command.Env = i.Environment()
	return command
}

func (i *Installation) classPath() string { return filepath.Join(i.Home, "jars", "*") }

// Compile compiles a Java source file and returns the path of a jar in the directory dir.
func (i *Installation) Compile(ctx context.Context, dir, source string) (string, error) {
	jars, err := filepath.Glob(i.classPath()) // the compiler does not expand it
	if err != nil {
		return "", err
	}
	classes := filepath.Join(dir, "classes")
	jar := filepath.Join(dir, strings.TrimSuffix(filepath.Base(source), ".java")+".jar")
	for _, args := range [][]string{
		{"-m", "jdk.compiler/com.sun.tools.javac.Main", "-cp", strings.Join(jars, string(filepath.ListSeparator)), "-d", classes, source},
		{"-m", "jdk.jartool/sun.tools.jar.Main", "--create", "--file", jar, "-C", classes, "."},
	} {
		if output, err := exec.CommandContext(ctx, i.java, args...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("compile %s: %w\n%s", source, err, output)
		}
	}
	return jar, nil
}

// Submit returns the command that Spark's spark-submit runs with the same arguments: it
// asks the same launcher for it.
func (i *Installation) Submit(ctx context.Context, args ...string) (*exec.Cmd, error) {
	launcher := i.Java(ctx, nil, append([]string{"org.apache.spark.launcher.Main", "org.apache.spark.deploy.SparkSubmit"}, args...)...)
	output, err := launcher.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return nil, fmt.Errorf("ask Spark's launcher: %w: %s", err, exit.Stderr)
	}
	if err != nil {
		return nil, fmt.Errorf("ask Spark's launcher: %w", err)
	}
	_, words, found := bytes.Cut(output, []byte("\n")) // the first line ends with NUL and a newline
	if !found {
		words = output
	}
	command := strings.Split(strings.Trim(string(words), "\x00"), "\x00")
	submit := exec.CommandContext(ctx, command[0], command[1:]...)
	submit.Env = i.Environment()
	return submit, nil
}
