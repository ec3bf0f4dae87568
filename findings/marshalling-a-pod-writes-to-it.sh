#!/usr/bin/env bash
# Encoding a pod in protobuf writes to it. A resource.Quantity keeps its text once Marshal has asked
# for it. The quantities in limits and requests are copied out of their maps first, but one behind a
# pointer, as the sizeLimit of an emptyDir volume, is not. So two handlers of an informer that encode
# the same cached pod race if it has such a volume, and reflect.DeepEqual with an earlier copy is
# false then. json.Marshal writes nothing, and Semantic.DeepEqual sees no difference.
# Encode a DeepCopy.
#
# Seen with k8s.io/api and k8s.io/apimachinery 0.37.2. Needs Go 1.26 with cgo, for the race detector.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOFLAGS=-mod=mod GOWORK=off
cat >main.go <<'GO'
package main

import (
	"encoding/json"
	"fmt"
	"reflect"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
)

func main() {
	limits := corev1.ResourceRequirements{Limits: corev1.ResourceList{"cpu": resource.MustParse("2"), "memory": resource.MustParse("4Gi")}}
	small := corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Resources: limits}}}}
	large := *small.DeepCopy()
	large.Spec.Volumes = []corev1.Volume{{Name: "scratch", VolumeSource: corev1.VolumeSource{
		EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: new(resource.MustParse("8Gi"))},
	}}}
	for _, pod := range []corev1.Pod{small, large} {
		wire, err := pod.Marshal()
		check(err)
		for name, encode := range map[string]func(*corev1.Pod) error{
			"protobuf": func(p *corev1.Pod) error { _, err := p.Marshal(); return err },
			"JSON":     func(p *corev1.Pod) error { _, err := json.Marshal(p); return err },
		} {
			var read corev1.Pod
			check(read.Unmarshal(wire))
			before := read.DeepCopy()
			check(encode(&read))
			fmt.Printf("%d volumes, encoded in %s: DeepEqual %t, Semantic.DeepEqual %t\n",
				len(pod.Spec.Volumes), name, reflect.DeepEqual(&read, before), apiequality.Semantic.DeepEqual(&read, before))
		}
	}
	var shared corev1.Pod
	wire, err := large.Marshal()
	check(err)
	check(shared.Unmarshal(wire))
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() { _, err := shared.Marshal(); check(err) })
	}
	group.Wait()
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
GO
go mod init finding >log 2>&1
go get k8s.io/api@v0.37.2 k8s.io/apimachinery@v0.37.2 >log 2>&1 || { tail log; exit 1; }
go mod tidy >log 2>&1 || { tail log; exit 1; }
go build -race -o main . 2>log || { tail log; exit 1; }
./main >out 2>race || true
sort out
grep -q "DATA RACE" race && grep -m 1 -o "resource.(\*Quantity).String" race || { echo "no data race: the behaviour has changed"; exit 1; }
diff <(sort out) - <<'OUT' || { echo "the behaviour has changed"; exit 1; }
0 volumes, encoded in JSON: DeepEqual true, Semantic.DeepEqual true
0 volumes, encoded in protobuf: DeepEqual true, Semantic.DeepEqual true
1 volumes, encoded in JSON: DeepEqual true, Semantic.DeepEqual true
1 volumes, encoded in protobuf: DeepEqual false, Semantic.DeepEqual true
OUT
