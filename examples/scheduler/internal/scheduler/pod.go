// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"fmt"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/executorpods/watchsource"
)

// executorContainer is the default name of the executor container for a watchsource.Store.
// watchsource.WithExecutorContainer changes it.
const executorContainer = "spark-kubernetes-executor"

// podName returns the name of an executor's pod. Every attempt to create the executor uses the
// same name, so a repeated attempt after a lost answer cannot create a second pod.
func podName(appID string, executorID int) string {
	return fmt.Sprintf("%s-exec-%d", strings.ToLower(appID), executorID)
}

// executorPod returns the pod of one executor. It runs on any cluster, also in a namespace
// with the restricted Pod Security Standard.
func executorPod(cfg config, executorID int) *corev1.Pod {
	work := cfg.work(executorID)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name:      podName(cfg.appID, executorID),
			Namespace: cfg.namespace,
			// The watch selects pods by the first two labels. The store reads the
			// executor id from the third.
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
			// The scheduler replaces an executor that has ended. The kubelet must
			// not restart it in place, because the watch could not see its end.
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
