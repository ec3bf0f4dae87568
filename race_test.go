// SPDX-License-Identifier: Apache-2.0

//go:build race

package watchsource_test

const raceDetector = true
