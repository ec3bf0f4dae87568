// SPDX-License-Identifier: Apache-2.0

// Package faults lets the worst happen, round after round, between watchsource
// and a real API server, and beside it a client-go SharedInformer suffers the
// same at the same time.
//
//	go test ./faults -run Rounds -seed=7 -rounds=100 -timeout=1h
//
// While a client creates, changes, relabels and deletes executors, each round
// causes one fault and lifts it. Then the store must equal a LIST at its
// own resource version within a stated time, and may have listed again only if
// the server has said that the version to resume from is gone. At the end a
// table compares the two. What the seed does not decide is the moment within the
// life of a pod or a connection at which a fault strikes.
//
// With -v each round logs its result and the log of watchsource.
// With -only="black hole" no other fault strikes, and with -long there is one
// more test, which takes six minutes because it leaves all timers alone.
package faults
