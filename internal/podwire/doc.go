// SPDX-License-Identifier: Apache-2.0

// Package podwire decodes pods from protobuf at a fraction of client-go's cost.
//
// A [Negotiator] replaces the negotiator of a REST client and decodes lists. A [Stream]
// decodes the body of a watch. Requests, retries and errors remain client-go's. These
// things reduce the cost:
//
//   - The goroutine that waits for an event decodes the frame in the read buffer.
//   - Unwanted parts of a pod are skipped before anything is allocated for them.
//   - Of a pod seen before, only the parts that have changed are decoded. A digest of the
//     bytes of each part detects a change.
//   - Equal parts of different pods are kept once: strings, owners, annotations, the
//     resources and mounts of containers.
//   - For a receiver that does not keep the pods, only what it reads is decoded ([Summary]),
//     and a spec that has not changed is not decoded again ([SpecCache]).
//
// The package decodes a pod only if it understands every field of it. It passes all else
// to client-go's own decoder: other media types, other objects, groups, fields that occur
// in two places, and damaged messages, even if the damage is in a part that would be
// skipped. So both decoders return equal pods, or both fail.
package podwire
