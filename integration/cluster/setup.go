// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"flag"
	"fmt"
	"strings"
)

// A Setup says of which programs a [Cluster] consists. The zero value stands for etcd and
// kube-apiserver at the versions of this module's go.mod.
type Setup struct {
	Server string // the version of kube-apiserver, for example v1.34.4; "" for go.mod's
	Store  Store
	Flags  []string // further ones of kube-apiserver: "feature-gates=ShardedListAndWatch=true"
}

// A Store is what an API server keeps its objects in.
type Store string

// The stores. A PostgreSQL server is not built: it must be installed.
const (
	Etcd         Store = "etcd"
	KineSQLite   Store = "kine-sqlite"
	KinePostgres Store = "kine-postgres"
)

var stores = []Store{Etcd, KineSQLite, KinePostgres}

// AddFlags adds the flags -server and -store, which change the setup.
func (s *Setup) AddFlags(flags *flag.FlagSet) {
	s.Store = Etcd
	flags.Func("server", "`version` of kube-apiserver, for example v1.34.4 (default that of go.mod)", func(version string) error {
		s.Server = version
		if version == "" {
			return nil
		}
		_, err := parseRelease(version)
		return err
	})
	flags.Func("store", fmt.Sprintf("`program` in which the API server keeps its objects: one of %q (default %q)", stores, Etcd), func(name string) error {
		for _, store := range stores {
			if string(store) == name {
				s.Store = store
				return nil
			}
		}
		return fmt.Errorf("not one of %q", stores)
	})
}

// chosen is the setup of RunTests.
var chosen Setup

func init() { chosen.AddFlags(flag.CommandLine) }

// A release is a version of Kubernetes.
type release struct{ major, minor, patch string }

// parseRelease reads a version like v1.34.4 or v1.38.0-beta.0.
func parseRelease(version string) (release, error) {
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	if !strings.HasPrefix(version, "v") || len(parts) != 3 {
		return release{}, fmt.Errorf("%q is not a version of Kubernetes like v1.34.4", version)
	}
	return release{parts[0], parts[1], parts[2]}, nil
}

// staging is the version that the modules have that Kubernetes publishes from its own tree.
func (r release) staging() string { return "v0." + r.minor + "." + r.patch }
