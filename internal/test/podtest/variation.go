// SPDX-License-Identifier: Apache-2.0

package podtest

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// A variation makes the texts in which one pod of a kind differs from the others. It is the
// same each time that the pod is made.
type variation struct {
	random  *rand.Rand
	created metav1.Time
	task    string // the scheduler's id of the pod
	creator string // the program that created the pod
}

func newVariation(seed uint64, i int) *variation {
	v := &variation{random: rand.New(rand.NewPCG(seed, uint64(i)))}
	v.created = metav1.NewTime(created.Add(time.Duration(v.random.IntN(6*24*3600)) * time.Second))
	v.task = strconv.Itoa(7*i + v.random.IntN(7))
	return v
}

func (v *variation) text(alphabet string, n int) string {
	var b strings.Builder
	for range n {
		b.WriteByte(alphabet[v.random.IntN(len(alphabet))])
	}
	return b.String()
}

func (v *variation) hex(n int) string { return v.text("0123456789abcdef", n) }

// suffix is the end of a generated name. Kubernetes uses no vowels in it.
func (v *variation) suffix(n int) string { return v.text("bcdfghjklmnpqrstvwxz2456789", n) }

func (v *variation) token(n int) string {
	return v.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", n)
}

func (v *variation) uuid() string {
	return v.hex(8) + "-" + v.hex(4) + "-4" + v.hex(3) + "-a" + v.hex(3) + "-" + v.hex(12)
}

func (v *variation) uid() types.UID { return types.UID(v.uuid()) }

// between returns a number from low up to high.
func (v *variation) between(low, high int) int { return low + v.random.IntN(high-low+1) }

func (v *variation) seconds(low, high int) time.Duration {
	return time.Duration(v.between(low, high)) * time.Second
}

func (v *variation) oneOf(texts ...string) string { return texts[v.random.IntN(len(texts))] }

// application returns one of 60 names, 8 to 40 characters long.
func (v *variation) application() string {
	return v.oneOf("nightly", "hourly", "weekly", "adhoc", "backfill") + "-" +
		v.oneOf("etl", "revenue", "clickstream", "fraud-scores", "customer-360", "ml-features", "inventory-reconciliation",
			"ad-attribution", "search-index", "recommendations", "gdpr-erasure", "payment-settlement-report")
}

func (v *variation) team() string {
	return v.oneOf("data-platform", "search", "growth", "finance-analytics", "ml-research", "ads")
}

// nodes is the number of nodes in the cluster.
const nodes = 240

// node returns the name and the address of one of the nodes.
func (v *variation) node() (name, address string) {
	n := v.random.IntN(nodes)
	a, b, c := 12+n%3, n*37%256, n*101%256
	return fmt.Sprintf("ip-10-%d-%d-%d.eu-central-1.compute.internal", a, b, c), fmt.Sprintf("10.%d.%d.%d", a, b, c)
}

func (v *variation) podIP() string {
	return fmt.Sprintf("10.%d.%d.%d", v.between(64, 127), v.random.IntN(256), v.random.IntN(256))
}

func (v *variation) containerID() string { return "containerd://" + v.hex(64) }
