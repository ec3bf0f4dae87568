// SPDX-License-Identifier: Apache-2.0

package spark

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// wantError checks the words of an error.
func wantError(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Error("no error")
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q lacks %q", err, w)
		}
	}
}

func TestNoJava(t *testing.T) {
	empty := t.TempDir()
	t.Setenv("PATH", empty)
	t.Setenv("JAVA_HOME", "")
	_, err := findJava(t.Context())
	wantError(t, err, "no Java", "install a JDK")
	t.Setenv("JAVA_HOME", empty)
	_, err = findJava(t.Context())
	wantError(t, err, "no Java", empty, "set JAVA_HOME")
}

// A JRE has no compiler, and an old JDK cannot load Spark's classes.
func TestUnsuitableJava(t *testing.T) {
	for _, test := range []struct{ script, want string }{
		{script: "echo java.base@17.0.1", want: "has no compiler"},
		{script: "echo jdk.compiler@11.0.2", want: "has version 11.0.2"},
		{script: "exit 3", want: "exit status 3"},
	} {
		home := t.TempDir()
		t.Setenv("JAVA_HOME", home)
		if err := os.Mkdir(filepath.Join(home, "bin"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(home, "bin", "java"), []byte("#!/bin/sh\n"+test.script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		_, err := findJava(t.Context())
		wantError(t, err, test.want, "install a JDK")
	}
}

func TestJarList(t *testing.T) {
	jars, err := parseJars(jarList)
	if err != nil || jars[0].artifact != "spark-kubernetes_2.13" {
		t.Errorf("jars %v, error %v", jars, err)
	}
	for list, want := range map[string]string{
		"":                  "names no jar",
		"# only a comment":  "names no jar",
		"org.x y 1.0":       `"org.x y 1.0" is not`,
		"org.x y 1.0 cafe":  "SHA-256",
		"org.x y 1.0 a b c": "is not a group",
	} {
		_, err := parseJars(list)
		wantError(t, err, "jars.txt", want)
	}
}

func TestDownload(t *testing.T) {
	const content = "a jar"
	served := 0
	repository := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/org/x/y/1.0/y-1.0.jar" {
			http.NotFound(w, r)
			return
		}
		served++
		_, _ = w.Write([]byte(content))
	}))
	defer repository.Close()
	good := jar{"org.x", "y", "1.0", "fc8bd814a3051a9717431182d5af2a2d654481aac82a028c05c73afa4ca38823"}
	dir := t.TempDir()
	fetch := func(j jar) error {
		return fetchJars(t.Context(), dir, repository.URL, []jar{j}, func(string) {})
	}

	err := fetch(jar{"org.x", "z", "1.0", good.sha256})
	wantError(t, err, "404 Not Found", repository.URL+"/org/x/z/1.0/z-1.0.jar", "must be reachable")
	err = fetch(jar{"org.x", "y", "1.0", strings.Repeat("0", 64)})
	wantError(t, err, "the checksum is", strings.Repeat("0", 64))

	for range 2 {
		if err := fetch(good); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(dir, "y-1.0.jar")); err != nil || string(got) != content {
			t.Errorf("content %q, error %v", got, err)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
			t.Errorf("%d files, want 1 (%v)", len(entries), err)
		}
	}
	if served != 2 {
		t.Errorf("the jar was served %d times, want 2: with a wrong checksum, and once more", served)
	}
	repository.Close()
	err = fetch(jar{"org.x", "z", "2.0", good.sha256})
	wantError(t, err, "connection refused", "must be reachable")
}
