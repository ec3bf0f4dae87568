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

	"golang.org/x/sync/errgroup"
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

// homeOf is the name of a directory for the jars of a list. Another list has another
// directory, so that no jar of an older list gets on the class path.
func homeOf(list string, jars []jar) string {
	sum := sha256.Sum256([]byte(list))
	return "spark-" + jars[0].version + "-" + hex.EncodeToString(sum[:4])
}

// downloads is how many jars are downloaded at a time.
const downloads = 8

// fetchJars downloads the jars that the directory does not have.
func fetchJars(ctx context.Context, dir, repository string, jars []jar, report func(string)) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make directory for Spark's jars: %w", err)
	}
	var missing []jar
	for _, j := range jars {
		switch _, err := os.Stat(filepath.Join(dir, j.file())); {
		case errors.Is(err, fs.ErrNotExist):
			missing = append(missing, j)
		case err != nil:
			return fmt.Errorf("look for Spark's jars: %w", err)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	report(fmt.Sprintf("downloading %d jars of Spark %s to %s", len(missing), jars[0].version, dir))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(downloads)
	for _, j := range missing {
		group.Go(func() error { return j.download(ctx, repository, filepath.Join(dir, j.file())) })
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("download Spark's jars, for which %s must be reachable (HTTPS_PROXY names a proxy): %w", repository, err)
	}
	return nil
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
