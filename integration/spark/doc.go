// SPDX-License-Identifier: Apache-2.0

// Package spark lets Apache Spark run beside watchsource. It downloads Spark from Maven
// Central, and compares the states of pods with those that Spark's own classes read.
package spark
