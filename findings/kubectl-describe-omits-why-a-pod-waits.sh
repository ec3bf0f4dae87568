#!/usr/bin/env bash
# kubectl describe pod prints the types and statuses of the conditions of a pod, without their reasons and
# messages. So it says of a pod that no node can take only "PodScheduled False". The reason, which is
# in the pod, is seen only as long as the event of the scheduler exists: kube-apiserver keeps events for an
# hour. kubectl get -o yaml shows it always.
#
# Seen with k8s.io/kubectl 0.37.2. Needs Go 1.26.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOFLAGS=-mod=mod GOWORK=off
cat >main.go <<'GO'
package main

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/kubectl/pkg/describe"
)

func main() {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "exec-1", Namespace: "jobs"},
		Status: corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{
			Type: corev1.PodScheduled, Status: corev1.ConditionFalse,
			Reason: corev1.PodReasonUnschedulable, Message: "0/9 nodes are available: 9 Insufficient memory.",
		}}},
	}
	describer := &describe.PodDescriber{Interface: fake.NewClientset(pod)}
	text, err := describer.Describe("jobs", "exec-1", describe.DescriberSettings{ShowEvents: true})
	if err != nil {
		panic(err)
	}
	_, section, _ := strings.Cut(text, "Conditions:\n")
	section, _, _ = strings.Cut(section, "Volumes:")
	for line := range strings.Lines(section) {
		fmt.Println(strings.Join(strings.Fields(line), " "))
	}
	for _, word := range []string{"Unschedulable", "Insufficient memory"} {
		fmt.Printf("describe says %q: %t\n", word, strings.Contains(text, word))
	}
}
GO
go mod init finding >log 2>&1
go get k8s.io/kubectl@v0.37.2 >log 2>&1 || { tail log; exit 1; }
go mod tidy >log 2>&1 || { tail log; exit 1; }
go build -o finding .
seen=$(./finding)
echo "$seen"
want='Type Status
PodScheduled False
describe says "Unschedulable": false
describe says "Insufficient memory": false'
[ "$seen" = "$want" ] || { echo "this has changed"; exit 1; }
