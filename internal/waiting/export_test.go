// SPDX-License-Identifier: Apache-2.0

package waiting

const MaxWaitingLists = maxWaitingLists
