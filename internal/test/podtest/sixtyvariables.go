// SPDX-License-Identifier: Apache-2.0

package podtest

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// sixtyVariables describes a task of a scheduler that passes its parameters in 60 environment
// variables. No two pods have the same value of a variable.
func sixtyVariables(v *variation) *corev1.Pod {
	v.creator = "python-requests"
	app, team := v.application(), v.team()
	task := v.oneOf("extract", "load-warehouse", "refresh-materialized-views", "notify")
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: app + "-" + task + "-" + v.suffix(8),
			Labels: map[string]string{
				"airflow_version": "3.1.3", "kubernetes_executor": "True",
				"dag_id": app, "task_id": task, "try_number": fmt.Sprint(v.between(1, 12)),
				"run_id": "scheduled__" + v.created.UTC().Format("2006-01-02T150405.0000000000-") + v.hex(9),
				"team":   team,
			},
			Annotations: map[string]string{
				"dag_id": app, "task_id": task, "run_id": "scheduled__" + v.created.UTC().Format("2006-01-02T15:04:05+00:00"),
				"cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
			},
			OwnerReferences: []metav1.OwnerReference{ownedBy("batch/v1", "Job", app+"-"+task+"-"+v.suffix(5), v)},
		},
		Spec: podSpec(v, "airflow-worker", "tasks"),
	}
	pod.Spec.RestartPolicy = corev1.RestartPolicyOnFailure
	pod.Spec.Containers = []corev1.Container{{
		Name:            "base",
		Image:           "registry.example.com/" + team + "/tasks:" + v.oneOf("2026.03.01", "2026.02.27-hotfix1"),
		ImagePullPolicy: corev1.PullIfNotPresent,
		Args:            []string{"airflow", "tasks", "run", app, task, "scheduled__" + v.created.UTC().Format("2006-01-02T15:04:05+00:00"), "--local"},
		Env:             differentVariables(v),
		Resources:       resources("500m", v.oneOf("512Mi", "1Gi", "4Gi")),
		VolumeMounts: []corev1.VolumeMount{
			{Name: "logs", MountPath: "/opt/airflow/logs"},
			{Name: "config", MountPath: "/opt/airflow/airflow.cfg", SubPath: "airflow.cfg", ReadOnly: true},
		},
		TerminationMessagePath:   corev1.TerminationMessagePathDefault,
		TerminationMessagePolicy: corev1.TerminationMessageReadFile,
	}}
	pod.Spec.Volumes = []corev1.Volume{emptyDir("logs", "2Gi"), configMap("config", "airflow-config")}
	addServiceAccount(v, &pod.Spec)
	return pod
}

// differentVariables returns 60 variables with values of 20 to 60 characters. A third each
// are tokens, paths that end in an identifier, and settings with a number and an identifier.
func differentVariables(v *variation) []corev1.EnvVar {
	env := make([]corev1.EnvVar, 0, 60)
	for i, subject := range []string{
		"INPUT", "OUTPUT", "CHECKPOINT", "STATE", "METRICS", "LINEAGE", "WAREHOUSE", "CATALOG", "QUEUE", "CACHE",
		"SESSION", "LEASE", "TENANT", "SCHEMA", "PARTITION", "OFFSET", "WATERMARK", "REPORT", "AUDIT", "CALLBACK",
	} {
		name := strings.ToLower(subject)
		env = append(env,
			corev1.EnvVar{Name: "TASK_" + subject + "_TOKEN", Value: v.token(v.between(20, 60))},
			corev1.EnvVar{Name: "TASK_" + subject + "_URI", Value: v.oneOf("s3://lake/", "gs://lake-eu/", "file:///mnt/") + name + "/" + v.hex(v.between(12, 32))},
			corev1.EnvVar{Name: "TASK_" + subject + "_PARAM", Value: fmt.Sprintf("%s=%d;attempt=%d;id=%s", name, v.between(0, 1_000_000), i, v.hex(v.between(8, 24)))},
		)
	}
	return env
}
