// SPDX-License-Identifier: Apache-2.0

package command

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
)

func (o *options) printVersion() error {
	info, _ := debug.ReadBuildInfo()
	_, err := io.WriteString(o.streams.Out, versionOf(info))
	return err
}

// versionOf returns the version of the module, the revision of its sources if go build has recorded
// it, the version of Go and the platform. The information may be nil.
func versionOf(info *debug.BuildInfo) string {
	version, settings := "(devel)", map[string]string{}
	if info != nil {
		if info.Main.Version != "" {
			version = info.Main.Version
		}
		for _, setting := range info.Settings {
			settings[setting.Key] = setting.Value
		}
	}
	text := "kubectl executors " + version + "\n"
	if revision := settings["vcs.revision"]; revision != "" {
		if settings["vcs.modified"] == "true" {
			revision += ", modified"
		}
		text += "revision " + revision + "\n"
	}
	return text + fmt.Sprintf("%s %s/%s\n", runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
