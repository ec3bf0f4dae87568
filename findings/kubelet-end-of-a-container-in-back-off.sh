#!/usr/bin/env bash
# A container that waits in CrashLoopBackOff after exit code 1 has another end once its pod is
# terminated, for example evicted: the kubelet writes exit code 137 and the reason
# ContainerStatusUnknown over the waiting state, although it knows how the container ended. The
# real end stays in lastState, and the container ID is that of the run which has ended.
# So the container status shows two ends of one run, and the newer one is made up.
#
# Seen with the status manager of the kubelet, k8s.io/kubernetes v1.37.2
# (pkg/kubelet/status, TerminatePod). Needs Go 1.26 and about three minutes the first time.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOFLAGS=-mod=mod GOWORK=off

kubernetes=v1.37.2 staging=v0.37.2
cat >go.mod <<MOD
module finding

go 1.26.0

require k8s.io/kubernetes $kubernetes

replace (
$(for module in api apiextensions-apiserver apimachinery apiserver cli-runtime client-go cloud-provider cluster-bootstrap \
	code-generator component-base component-helpers controller-manager cri-api cri-client cri-streaming csi-translation-lib \
	dynamic-resource-allocation endpointslice externaljwt kms kube-aggregator kube-controller-manager kube-proxy kube-scheduler \
	kubectl kubelet metrics mount-utils pod-security-admission sample-apiserver streaming; do
	printf '\tk8s.io/%s => k8s.io/%s %s\n' "$module" "$module" "$staging"
done)
)
MOD

cat >main.go <<'GO'
package main

import (
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/kubelet/status"
	kubetypes "k8s.io/kubernetes/pkg/kubelet/types"
)

// pods knows one pod, which has no mirror pod and no container that runs.
type pods struct{ pod *v1.Pod }

func (p pods) GetPodByUID(uid types.UID) (*v1.Pod, bool)      { return p.pod, uid == p.pod.UID }
func (p pods) GetMirrorPodByPod(*v1.Pod) (*v1.Pod, bool)      { return nil, false }
func (p pods) TranslatePodUID(uid types.UID) kubetypes.ResolvedPodUID {
	return kubetypes.ResolvedPodUID(uid)
}
func (p pods) GetUIDTranslations() (map[kubetypes.ResolvedPodUID]kubetypes.MirrorPodUID, map[kubetypes.MirrorPodUID]kubetypes.ResolvedPodUID) {
	return nil, nil
}
func (p pods) PodCouldHaveRunningContainers(*v1.Pod) bool   { return false }
func (p pods) RecordStatusUpdated(klog.Logger, *v1.Pod)     {}
func (p pods) DeletePodStartupState(types.UID)              {}

func main() {
	logger := klog.Background()
	pod := &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "worker", Namespace: "default", UID: "u"},
		Spec:       v1.PodSpec{RestartPolicy: v1.RestartPolicyAlways, Containers: []v1.Container{{Name: "main"}}},
	}
	began := metav1.NewTime(time.Unix(1_700_000_000, 0))
	backOff := v1.PodStatus{Phase: v1.PodRunning, ContainerStatuses: []v1.ContainerStatus{{
		Name: "main", ContainerID: "containerd://first",
		State: v1.ContainerState{Waiting: &v1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
		LastTerminationState: v1.ContainerState{Terminated: &v1.ContainerStateTerminated{
			ExitCode: 1, Reason: "Error", ContainerID: "containerd://first", StartedAt: began, FinishedAt: began,
		}},
	}}}
	pod.Status = backOff
	known := pods{pod}
	manager := status.NewManager(fake.NewClientset(pod), known, known, known)
	manager.SetPodStatus(logger, pod, backOff)
	evicted := *backOff.DeepCopy()
	evicted.Phase, evicted.Reason = v1.PodFailed, "Evicted"
	manager.SetPodStatus(logger, pod, evicted)
	manager.TerminatePod(logger, pod)

	now, _ := manager.GetPodStatus(pod.UID)
	c := now.ContainerStatuses[0]
	fmt.Println("phase", now.Phase, now.Reason, "container", c.ContainerID, "restarts", c.RestartCount)
	if end := c.State.Terminated; end != nil {
		fmt.Println("state", end.ExitCode, end.Reason, "id", fmt.Sprintf("%q", end.ContainerID), "finished", !end.FinishedAt.IsZero())
	}
	if end := c.LastTerminationState.Terminated; end != nil {
		fmt.Println("lastState", end.ExitCode, end.Reason, "id", fmt.Sprintf("%q", end.ContainerID), "finished", !end.FinishedAt.IsZero())
	}
}
GO

want='phase Failed Evicted container containerd://first restarts 0
state 137 ContainerStatusUnknown id "" finished false
lastState 1 Error id "containerd://first" finished true'
go run . >output 2>log || { tail -20 log; exit 1; }
cat output
if [ "$(cat output)" != "$want" ]; then
	printf 'the behaviour has changed, seen was:\n%s\n' "$want"
	exit 1
fi
