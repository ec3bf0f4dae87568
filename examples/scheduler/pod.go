// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/executorpods/watchsource"
)

// executorContainer is the name by which a watchsource.Store knows the executor
// among the containers of its pod; watchsource.WithExecutorContainer changes it.
const executorContainer = "spark-kubernetes-executor"

// podName is the same for every attempt to create one executor, so that an
// attempt whose answer got lost cannot be made twice.
func podName(appID string, executorID int) string {
	return fmt.Sprintf("%s-exec-%d", strings.ToLower(appID), executorID)
}

// executorPod is the pod of one executor, good for any cluster, also for a
// namespace with the restricted Pod Security Standard.
func executorPod(cfg config, executorID int) *corev1.Pod {
	work := cfg.work(executorID)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name:      podName(cfg.appID, executorID),
			Namespace: cfg.namespace,
			// The watch finds the pod by the first two labels; the store reads
			// the executor id from the third.
			Labels: map[string]string{
				watchsource.LabelApp:           cfg.appID,
				watchsource.LabelRole:          watchsource.RoleExecutor,
				watchsource.LabelExecutorID:    strconv.Itoa(executorID),
				"app.kubernetes.io/name":       "executor",
				"app.kubernetes.io/managed-by": "watchsource-example",
			},
			Annotations: work.annotations(),
		},
		Spec: corev1.PodSpec{
			// An executor is replaced by the scheduler, never restarted in
			// place: its end must be seen as an end.
			RestartPolicy:                 corev1.RestartPolicyNever,
			TerminationGracePeriodSeconds: new(int64(2)),
			AutomountServiceAccountToken:  new(false),
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot:   new(true),
				RunAsUser:      new(int64(65534)),
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Containers: []corev1.Container{{
				Name:    executorContainer,
				Image:   cfg.image,
				Command: work.command(),
				Resources: corev1.ResourceRequirements{
					Requests: corev1.ResourceList{
						corev1.ResourceCPU:    resource.MustParse("10m"),
						corev1.ResourceMemory: resource.MustParse("16Mi"),
					},
				},
				SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: new(false),
					Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				},
			}},
		},
	}
}
