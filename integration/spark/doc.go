// SPDX-License-Identifier: Apache-2.0

// Package spark compares the states of watchsource with those of Apache Spark. Spark's
// own classes, downloaded from Maven Central, read the same pods.
package spark
