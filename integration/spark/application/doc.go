// SPDX-License-Identifier: Apache-2.0

// Package application runs a real Spark application on a real API server. Its executors
// are processes that the kubelet of package kubelet starts. While executors are killed,
// exhausted, deleted and evicted, Spark and watchsource watch the same pods, and the tests
// compare what each of them knows.
package application
