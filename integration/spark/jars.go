// SPDX-License-Identifier: Apache-2.0

package spark

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// mavenCentral is the directory that the jars are downloaded from.
const mavenCentral = "https://repo1.maven.org/maven2"

// jarList names the jars. The first one decides the version of Spark.
//
//go:embed jars.txt
var jarList string

type jar struct {
	group, artifact, version string
	sha256                   string
}

func (j jar) file() string { return j.artifact + "-" + j.version + ".jar" }

func (j jar) url(repository string) string {
	return repository + "/" + path.Join(strings.ReplaceAll(j.group, ".", "/"), j.artifact, j.version, j.file())
}

// parseJars reads a list of jars: group, artifact, version and checksum on each line.
func parseJars(list string) ([]jar, error) {
	var jars []jar
	for line := range strings.Lines(list) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		fields := strings.Fields(line)
		if len(fields) != 4 || len(fields[3]) != hex.EncodedLen(sha256.Size) {
			return nil, fmt.Errorf("jars.txt: %q is not a group, an artifact, a version and a SHA-256 checksum", line)
		}
		jars = append(jars, jar{fields[0], fields[1], fields[2], fields[3]})
	}
	if len(jars) == 0 {
		return nil, errors.New("jars.txt names no jar")
	}
	return jars, nil
}

// fetchJars returns the directory that holds the jars, below the directory cache. It
// downloads those that are missing.
func fetchJars(ctx context.Context, cache, repository string, jars []jar, report func(string)) (string, error) {
	dir := filepath.Join(cache, "watchsource-integration", "spark-"+jars[0].version)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make directory for Spark's jars: %w", err)
	}
	reported := false
	for _, j := range jars {
		target := filepath.Join(dir, j.file())
		if _, err := os.Stat(target); err == nil {
			continue
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("look for Spark's jars: %w", err)
		}
		if !reported {
			report("downloading the jars of Spark " + jars[0].version + " to " + dir)
			reported = true
		}
		if err := j.download(ctx, repository, target); err != nil {
			return "", fmt.Errorf("download Spark's jars, for which %s must be reachable (HTTPS_PROXY names a proxy): %w", repository, err)
		}
	}
	return dir, nil
}

// download writes beside the target and renames, so that neither an interruption nor a
// second process leaves half a jar in its place.
func (j jar) download(ctx context.Context, repository, target string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, j.url(repository), nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", request.URL, response.Status)
	}
	file, err := os.CreateTemp(filepath.Dir(target), "download-*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	sum := sha256.New()
	_, err = io.Copy(io.MultiWriter(file, sum), response.Body)
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("GET %s: %w", request.URL, err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != j.sha256 {
		return fmt.Errorf("GET %s: the checksum is %s, and jars.txt says %s", request.URL, got, j.sha256)
	}
	return os.Rename(file.Name(), target)
}
