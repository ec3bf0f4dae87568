// SPDX-License-Identifier: Apache-2.0

package command

import (
	"strconv"

	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"
)

// startLog sends the log of the library and of client-go to stderr, up to the level of -v. Without
// -v there is no log: the command prints what its user must know.
func (o *options) startLog() {
	if o.verbosity > 0 {
		o.logger = textlogger.NewLogger(textlogger.NewConfig(textlogger.Verbosity(o.verbosity), textlogger.Output(o.streams.ErrOut)))
	}
	klog.SetLogger(o.logger)
	var level klog.Level
	_ = level.Set(strconv.Itoa(o.verbosity)) // fails for no number only
}
