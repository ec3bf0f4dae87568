// SPDX-License-Identifier: Apache-2.0

// Package samplepod has the executor pod that tests and benchmarks of decoding
// read: as Spark makes it and a kubelet reports it, about 7 kB in protobuf, and
// 4 kB without its managedFields.
package samplepod

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const (
	app       = "nightly-aggregation-5f2b9c8d7e6f"
	image     = "registry.example.com/spark/spark-py:4.0.1-java17-python3.11"
	imageID   = "registry.example.com/spark/spark-py@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
	container = "spark-kubernetes-executor"
)

var created = time.Unix(1_760_000_000, 0)

// Executor returns an executor after so many updates of its status, each of
// which raises the resource version by 100,000.
func Executor(id, updates int) *corev1.Pod {
	pod := &corev1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metadata(id),
		Spec:       spec(id),
		Status:     status(id, updates),
	}
	pod.ResourceVersion = strconv.Itoa(100_000*(1+updates) + id)
	return pod
}

func metadata(id int) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name:              fmt.Sprintf("%s-exec-%d", app, id),
		Namespace:         "jobs",
		UID:               types.UID(fmt.Sprintf("8b1c1b5e-1f5b-4a6e-9d2e-%012d", id)),
		CreationTimestamp: metav1.NewTime(created),
		Labels: map[string]string{
			"spark-app-selector":            "app",
			"spark-role":                    "executor",
			"spark-exec-id":                 strconv.Itoa(id),
			"spark-app-name":                "nightly-aggregation",
			"spark-version":                 "4.0.1",
			"spark-exec-resourceprofile-id": "0",
			"app.kubernetes.io/managed-by":  "spark",
			"team":                          "data-platform",
		},
		Annotations: map[string]string{
			"cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
			"kubectl.kubernetes.io/default-container":        container,
			"prometheus.io/scrape":                           "true",
			"prometheus.io/port":                             "4040",
		},
		OwnerReferences: []metav1.OwnerReference{{
			APIVersion: "v1", Kind: "Pod", Name: app + "-driver", UID: "f00c1b5e-1f5b-4a6e-9d2e-000000000000", Controller: new(true),
		}},
		ManagedFields: []metav1.ManagedFieldsEntry{
			managed("okhttp", "", `"k:{\"name\":\"SPARK_EXECUTOR_SETTING\"}":{".":{},"f:name":{},"f:value":{}}`, 28),
			managed("kubelet", "status", `"k:{\"type\":\"Ready\"}":{".":{},"f:lastTransitionTime":{},"f:status":{}}`, 15),
		},
	}
}

func managed(manager, subresource, field string, n int) metav1.ManagedFieldsEntry {
	return metav1.ManagedFieldsEntry{
		Manager: manager, Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: "v1", Time: new(metav1.NewTime(created)), Subresource: subresource,
		FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1("{" + strings.TrimSuffix(strings.Repeat(field+",", n), ",") + "}"),
	}
}

func spec(id int) corev1.PodSpec {
	return corev1.PodSpec{
		NodeName:                      nodeName(id),
		RestartPolicy:                 corev1.RestartPolicyNever,
		DNSPolicy:                     corev1.DNSClusterFirst,
		ServiceAccountName:            "spark",
		DeprecatedServiceAccount:      "spark",
		SchedulerName:                 corev1.DefaultSchedulerName,
		TerminationGracePeriodSeconds: new(int64(30)),
		SecurityContext:               &corev1.PodSecurityContext{},
		Tolerations: []corev1.Toleration{
			{Key: "node.kubernetes.io/not-ready", Operator: "Exists", Effect: "NoExecute", TolerationSeconds: new(int64(300))},
			{Key: "node.kubernetes.io/unreachable", Operator: "Exists", Effect: "NoExecute", TolerationSeconds: new(int64(300))},
		},
		Volumes: []corev1.Volume{
			{Name: "spark-conf-volume-exec", VolumeSource: configMap("spark-exec-5f2b9c8d7e6f-conf-map")},
			{Name: "hadoop-properties", VolumeSource: configMap(app + "-hadoop-config")},
			{Name: "spark-local-dir-1", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
			{Name: "kube-api-access-x7k2p", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
				{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token", ExpirationSeconds: new(int64(3607))}},
				{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"}, Items: []corev1.KeyToPath{{Key: "ca.crt", Path: "ca.crt"}}}},
			}}}},
		},
		Containers: []corev1.Container{{
			Name: container, Image: image, Args: []string{"executor"}, Env: env(id),
			Ports: []corev1.ContainerPort{{Name: "blockmanager", ContainerPort: 7079, Protocol: corev1.ProtocolTCP}},
			Resources: corev1.ResourceRequirements{
				Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1408Mi")},
				Requests: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1408Mi"), corev1.ResourceCPU: resource.MustParse("1")},
			},
			VolumeMounts: []corev1.VolumeMount{
				{Name: "spark-conf-volume-exec", MountPath: "/opt/spark/conf"},
				{Name: "hadoop-properties", MountPath: "/opt/hadoop/conf"},
				{Name: "spark-local-dir-1", MountPath: "/var/data/spark-3b1c7a52-8d0e-4f77-b2a6-6a1f9c0e2d4b"},
				{Name: "kube-api-access-x7k2p", ReadOnly: true, MountPath: "/var/run/secrets/kubernetes.io/serviceaccount"},
			},
			TerminationMessagePath: "/dev/termination-log", TerminationMessagePolicy: corev1.TerminationMessageReadFile,
			ImagePullPolicy: corev1.PullIfNotPresent,
		}},
	}
}

func env(id int) []corev1.EnvVar {
	env := []corev1.EnvVar{
		{Name: "SPARK_EXECUTOR_ID", Value: strconv.Itoa(id)},
		{Name: "SPARK_DRIVER_URL", Value: "spark://CoarseGrainedScheduler@" + app + "-driver-svc.jobs.svc:7078"},
		{Name: "SPARK_EXECUTOR_POD_IP", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "status.podIP"}}},
	}
	for i := len(env); i < 25; i++ {
		env = append(env, corev1.EnvVar{Name: fmt.Sprintf("SPARK_JAVA_OPT_%d", i), Value: fmt.Sprintf("-Dspark.some.property.%d=some-value-of-%d", i, i)})
	}
	return env
}

func configMap(name string) corev1.VolumeSource {
	return corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: name}}}
}

func nodeName(id int) string {
	return fmt.Sprintf("ip-10-0-%d-%d.eu-west-1.compute.internal", id%3, id%100)
}

// status becomes ready with an odd update and unready with an even one.
func status(id, updates int) corev1.PodStatus {
	ready := updates%2 == 1
	hostIP, podIP := fmt.Sprintf("10.0.%d.%d", id%3, id%100), fmt.Sprintf("10.1.%d.%d", id/250, id%250)
	return corev1.PodStatus{
		Phase:     corev1.PodRunning,
		QOSClass:  corev1.PodQOSBurstable,
		StartTime: new(metav1.NewTime(created)),
		HostIP:    hostIP, HostIPs: []corev1.HostIP{{IP: hostIP}},
		PodIP: podIP, PodIPs: []corev1.PodIP{{IP: podIP}},
		Conditions: []corev1.PodCondition{
			condition(corev1.PodReadyToStartContainers, true, 0),
			condition(corev1.PodInitialized, true, 0),
			condition(corev1.PodReady, ready, updates),
			condition(corev1.ContainersReady, ready, updates),
			condition(corev1.PodScheduled, true, 0),
		},
		ContainerStatuses: []corev1.ContainerStatus{{
			Name: container, Image: image, ImageID: imageID,
			ContainerID: fmt.Sprintf("containerd://60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe%012d", id),
			Ready:       ready, Started: new(true),
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(created)}},
		}},
	}
}

func condition(kind corev1.PodConditionType, holds bool, updates int) corev1.PodCondition {
	c := corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(created.Add(time.Duration(updates) * time.Second))}
	if !holds {
		c.Status, c.Reason, c.Message = corev1.ConditionFalse, "ContainersNotReady", "containers with unready status: ["+container+"]"
	}
	return c
}
