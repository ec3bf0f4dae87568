// SPDX-License-Identifier: Apache-2.0

// Package podwire reads pods from protobuf for a fraction of what client-go
// spends on it.
//
// A [Negotiator] takes the place of the one that a REST client has, and reads
// lists; a [Stream] reads the body of a watch. The rest of client-go stays what it
// is: requests, retries, errors. Four things make the difference. A frame is read
// where it arrived, by whoever waits for the event. What is not wanted of a pod is
// passed over before anything is allocated for it. Of a pod that was seen before,
// only what has changed is read: a digest of its bytes tells. And what pods have
// in common is kept once: strings, the owner, annotations, what containers were
// given.
//
// Only what is understood down to the last field is read here. All else goes to
// client-go's own decoder: other media than protobuf, other objects than pods,
// groups and fields in two places, and whatever is damaged, also within what is
// passed over. So both come to the same pods, or both fail.
package podwire
