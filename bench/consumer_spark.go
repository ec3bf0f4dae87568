// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os/exec"
	"strconv"
)

// spark is a consumer that is a program of the sibling module, in Java.
var spark = consumer{name: "spark", title: "Spark's watch source and store"}

// sparkwatch is the package of that program.
const sparkwatch = "./spark/sparkwatch"

// The program receives so many updates before it is measured, so that the JVM has compiled
// its code: sparkWarmUp from the replay server, and sparkRealWarmUp at the rate of the
// measurement from a real API server.
const (
	sparkWarmUp     = 40_000
	sparkRealWarmUp = 12_000
)

// startSpark starts the program.
func startSpark(ctx context.Context, program string, a assignment) (*child, error) {
	command := exec.CommandContext(ctx, program,
		"-kubeconfig", a.kubeconfig, "-namespace", namespace, "-app", nthApp(0),
		"-pods", strconv.Itoa(a.pods), "-updates", strconv.Itoa(a.updates), "-samples", a.samples,
		"-marker", markerName, "-warm-up-marker", warmUpMarkerName)
	command.Dir = integrationModule
	return startProgram("consumer "+spark.name, command)
}
