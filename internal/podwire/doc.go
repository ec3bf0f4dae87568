// SPDX-License-Identifier: Apache-2.0

// Package podwire reads pods from protobuf for a fraction of what client-go
// spends on it.
//
// A [Negotiator] takes the place of the one that a REST client has. The rest of
// client-go stays what it is: requests, retries, errors, frames and streams.
// Three things make the difference. Nothing is copied between a frame and the
// pod in it. What is not wanted of a pod is passed over before anything is
// allocated for it. And what pods have in common is kept once: strings, the
// owner, the annotations, and the spec of a pod from one of its states to the
// next.
//
// Only what is understood down to the last field is read here. All else goes to
// client-go's own decoder: other media than protobuf, other objects than pods,
// groups and fields in two places, and whatever is damaged, also within what is
// passed over. So both come to the same pods, or both fail.
package podwire
