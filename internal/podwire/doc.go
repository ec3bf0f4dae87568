// SPDX-License-Identifier: Apache-2.0

// Package podwire reads pods from protobuf at a fraction of client-go's cost, and keeps them as
// bytes.
//
// A [Negotiator] replaces the negotiator of a REST client and reads lists. A [Stream] reads the
// body of a watch. Requests, retries and errors remain client-go's. Both return each pod as a
// [Pod], which has an identity and three packed parts: the metadata, the spec and the status. A
// part is a template, which is that part of some pod, and a delta. Nearly equal pods share their
// templates, and a new state of a pod shares the parts that have not changed. A template is freed
// with the last pod that uses it.
//
// A [Reader] reads from a Pod what an executor is made of. [Pod.Label] and [Pod.Annotation] read
// one entry. [Pod.Decode] lets client-go's generated code decode the whole pod. For a receiver that
// wants decoded pods, in the form [Whole] or [Trimmed], the unwanted fields are cut out of the bytes
// and the generated code decodes the rest at once: nothing is packed.
//
// These things reduce the cost:
//
//   - The goroutine that waits for an event reads the pod from the read buffer.
//   - A part that equals its last state is not packed again, and a field that equals the one in
//     the template is not checked again.
//   - managedFields are checked and left out.
//   - A Reader decodes the status only, into memory that it uses again. The decoder reads the
//     other fields of an executor when the metadata or the spec changes.
//   - A pod that its [Filter] does not want is not packed.
//
// The package reads a pod only if it understands every field of it. The shape of each part is
// checked when the pod comes, so that Decode cannot fail later. The package passes all else to
// client-go's own decoder: other media types, other objects, groups, parts that occur twice, and
// damaged messages, even if the damage is in managedFields. So both decoders return equal pods, or
// both fail. A pod that its filter does not want is the exception: the package checks only the
// fields that it reads.
package podwire
