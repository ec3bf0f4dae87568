// SPDX-License-Identifier: Apache-2.0

package podtest

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// The application of the pods that Executor returns, and their namespace.
const (
	ExecutorApp       = "spark-8f3a5c1e9b7d4f20a6c3e1b5d7f90824"
	ExecutorNamespace = "spark-jobs"
)

// An identity has the texts that differ between executor pods. Each text has the same
// length for every pod, so that one encoded pod can be made into any other by overwriting
// bytes.
type identity struct {
	id     string // executor id, six digits
	podIP  string
	node   string
	hostIP string
}

func identityOf(i int) identity {
	id := fmt.Sprint(100_000 + i%900_000)
	return identity{
		id:     id,
		podIP:  fmt.Sprintf("10.1%s.1%s.1%s", id[0:2], id[2:4], id[4:6]),
		node:   "worker-" + id[4:6],
		hostIP: "172.16.0.1" + id[4:6],
	}
}

// ExecutorName returns the name of the i-th pod of Executor.
func ExecutorName(i int) string { return identityOf(i).name() }

func (d identity) name() string {
	return "nightly-revenue-aggregation-8f3a5c1e9b7d4f20-exec-" + d.id
}

// ExecutorTexts returns the texts in which the i-th pod of Executor differs from the others.
// Each text has the same length for every i.
func ExecutorTexts(i int) []string {
	d := identityOf(i)
	return []string{d.id, d.podIP, d.node, d.hostIP}
}

// VersionText is the resource version of a pod of Executor, of ten digits.
func VersionText(version int) string { return fmt.Sprint(1_000_000_000 + version) }

var created = metav1.NewTime(time.Date(2026, time.March, 2, 9, 30, 0, 0, time.UTC))

// Executor returns the i-th executor pod as Spark makes it and a node reports it: about 7 kB
// of protobuf, 4 kB of it without managedFields. The benchmark measures with this pod, so a
// change of it changes the results.
func Executor(i, version int, ready bool) *corev1.Pod {
	d := identityOf(i)
	pod := &corev1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: executorMeta(d),
		Spec:       executorSpec(d),
		Status:     executorStatus(d, ready),
	}
	pod.ResourceVersion = VersionText(version)
	pod.ManagedFields = managedFields(&pod.Spec.Containers[0])
	return pod
}

func executorMeta(d identity) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name:              d.name(),
		Namespace:         ExecutorNamespace,
		UID:               types.UID("8f3a5c1e-0000-4000-8000-000000" + d.id),
		CreationTimestamp: created,
		Labels:            fullLabels(d.id),
		Annotations: map[string]string{
			"cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
			"prometheus.io/scrape":                           "true",
			"prometheus.io/path":                             "/metrics/executors/prometheus/",
			"prometheus.io/port":                             "4040",
			"cni.projectcalico.org/podIP":                    d.podIP + "/32",
			"sidecar.istio.io/inject":                        "false",
		},
		OwnerReferences: []metav1.OwnerReference{{
			APIVersion: "v1",
			Kind:       "Pod",
			Name:       "nightly-revenue-aggregation-8f3a5c1e9b7d4f20-driver",
			UID:        "8f3a5c1e-1111-4000-8000-00000000d21e",
			Controller: new(true),
		}},
	}
}

func fullLabels(id string) map[string]string {
	labels := executorLabels(ExecutorApp, id)
	labels["spark-exec-resourceprofile-id"] = "0"
	labels["spark-app-name"] = "nightly-revenue-aggregation"
	labels["spark-version"] = "4.1.0"
	labels["team"] = "data-platform"
	return labels
}

func executorSpec(d identity) corev1.PodSpec {
	return corev1.PodSpec{
		NodeName:                      d.node,
		RestartPolicy:                 corev1.RestartPolicyNever,
		DNSPolicy:                     corev1.DNSClusterFirst,
		SchedulerName:                 corev1.DefaultSchedulerName,
		ServiceAccountName:            "spark-executor",
		DeprecatedServiceAccount:      "spark-executor",
		Hostname:                      "nightly-revenue-aggregation-exec-" + d.id,
		TerminationGracePeriodSeconds: new(int64(30)),
		EnableServiceLinks:            new(true),
		Priority:                      new(int32(0)),
		PreemptionPolicy:              new(corev1.PreemptLowerPriority),
		NodeSelector:                  map[string]string{"node.example.com/pool": "spark-executors", "kubernetes.io/arch": "amd64"},
		SecurityContext:               &corev1.PodSecurityContext{FSGroup: new(int64(185)), SupplementalGroups: []int64{185}},
		Tolerations: []corev1.Toleration{
			toleration("node.kubernetes.io/not-ready"),
			toleration("node.kubernetes.io/unreachable"),
		},
		Containers: []corev1.Container{executorContainer(d)},
		Volumes: []corev1.Volume{
			{Name: "spark-local-dir-1", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: quantity("64Gi")}}},
			{Name: "spark-conf-volume-exec", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
				LocalObjectReference: corev1.LocalObjectReference{Name: "spark-exec-8f3a5c1e9b7d4f20-conf-map"},
				DefaultMode:          new(int32(0o644)),
			}}},
			{Name: "hadoop-properties", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{
				SecretName:  "nightly-revenue-aggregation-hadoop-config",
				DefaultMode: new(int32(0o644)),
			}}},
			{Name: "kube-api-access", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
				DefaultMode: new(int32(0o644)),
				Sources: []corev1.VolumeProjection{
					{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{ExpirationSeconds: new(int64(3607)), Path: "token"}},
					{ConfigMap: &corev1.ConfigMapProjection{
						LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"},
						Items:                []corev1.KeyToPath{{Key: "ca.crt", Path: "ca.crt"}},
					}},
				},
			}}},
		},
	}
}

func toleration(key string) corev1.Toleration {
	return corev1.Toleration{Key: key, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: new(int64(300))}
}

func quantity(s string) *resource.Quantity { return new(resource.MustParse(s)) }

const (
	executorImage = "registry.example.com/data-platform/spark-executor:4.1.0-scala2.13-java21"
	imageDigest   = "registry.example.com/data-platform/spark-executor@sha256:3b1c8f0e5d7a92465e0fb8c1d39a7e64c2f58b0d1e3a7c9f4b6d8e0a2c4f6b8d"
)

func executorContainer(d identity) corev1.Container {
	return corev1.Container{
		Name:            ExecutorContainer,
		Image:           executorImage,
		ImagePullPolicy: corev1.PullIfNotPresent,
		Args:            []string{"executor"},
		Env:             executorEnv(d),
		Ports: []corev1.ContainerPort{
			{Name: "blockmanager", ContainerPort: 7079, Protocol: corev1.ProtocolTCP},
			{Name: "metrics", ContainerPort: 4040, Protocol: corev1.ProtocolTCP},
		},
		Resources: corev1.ResourceRequirements{
			Limits:   corev1.ResourceList{corev1.ResourceMemory: *quantity("9011Mi"), corev1.ResourceCPU: *quantity("4")},
			Requests: corev1.ResourceList{corev1.ResourceMemory: *quantity("9011Mi"), corev1.ResourceCPU: *quantity("4")},
		},
		VolumeMounts: []corev1.VolumeMount{
			{Name: "spark-local-dir-1", MountPath: "/var/data/spark-8f3a5c1e-9b7d-4f20-a6c3-e1b5d7f90824"},
			{Name: "spark-conf-volume-exec", MountPath: "/opt/spark/conf"},
			{Name: "hadoop-properties", MountPath: "/opt/hadoop/conf", ReadOnly: true},
			{Name: "kube-api-access", MountPath: "/var/run/secrets/kubernetes.io/serviceaccount", ReadOnly: true},
		},
		TerminationMessagePath:   corev1.TerminationMessagePathDefault,
		TerminationMessagePolicy: corev1.TerminationMessageReadFile,
		SecurityContext:          &corev1.SecurityContext{AllowPrivilegeEscalation: new(false), RunAsUser: new(int64(185))},
	}
}

// executorEnv is 25 variables, as BasicExecutorFeatureStep makes them.
func executorEnv(d identity) []corev1.EnvVar {
	env := []corev1.EnvVar{
		{Name: "SPARK_USER", Value: "etl"},
		{Name: "SPARK_DRIVER_URL", Value: "spark://CoarseGrainedScheduler@nightly-revenue-driver-svc.spark-jobs.svc:7078"},
		{Name: "SPARK_EXECUTOR_CORES", Value: "4"},
		{Name: "SPARK_EXECUTOR_MEMORY", Value: "8192m"},
		{Name: "SPARK_APPLICATION_ID", Value: ExecutorApp},
		{Name: "SPARK_CONF_DIR", Value: "/opt/spark/conf"},
		{Name: "SPARK_EXECUTOR_ID", Value: d.id},
		{Name: "SPARK_RESOURCE_PROFILE_ID", Value: "0"},
		{Name: "SPARK_EXECUTOR_POD_IP", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "status.podIP"}}},
		{Name: "SPARK_EXECUTOR_POD_NAME", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.name"}}},
		{Name: "SPARK_LOCAL_DIRS", Value: "/var/data/spark-8f3a5c1e-9b7d-4f20-a6c3-e1b5d7f90824"},
		{Name: "HADOOP_CONF_DIR", Value: "/opt/hadoop/conf"},
		{Name: "AWS_REGION", Value: "eu-central-1"},
		{Name: "OTEL_EXPORTER_OTLP_ENDPOINT", Value: "http://otel-collector.observability.svc:4317"},
	}
	for i, option := range []string{
		"-Dspark.driver.port=7078", "-Dspark.driver.blockManager.port=7079", "-Dspark.ui.port=0",
		"-Dspark.network.crypto.enabled=true", "-Dspark.authenticate=true", "-XX:+UseG1GC",
		"-XX:MaxGCPauseMillis=200", "-XX:+ExitOnOutOfMemoryError", "-Dlog4j2.configurationFile=/opt/spark/conf/log4j2.properties",
		"-Djava.net.preferIPv6Addresses=false", "-Dio.netty.tryReflectionSetAccessible=true",
	} {
		env = append(env, corev1.EnvVar{Name: fmt.Sprintf("SPARK_JAVA_OPT_%d", i), Value: option})
	}
	return env
}

func executorStatus(d identity, ready bool) corev1.PodStatus {
	since := metav1.NewTime(created.Add(9 * time.Second))
	status, reason := corev1.ConditionTrue, ""
	if !ready {
		status, reason = corev1.ConditionFalse, "ContainersNotReady"
	}
	condition := func(t corev1.PodConditionType, s corev1.ConditionStatus, reason string) corev1.PodCondition {
		return corev1.PodCondition{Type: t, Status: s, Reason: reason, LastTransitionTime: since, ObservedGeneration: 1}
	}
	return corev1.PodStatus{
		ObservedGeneration: 1,
		Phase:              corev1.PodRunning,
		Conditions: []corev1.PodCondition{
			condition(corev1.PodReadyToStartContainers, corev1.ConditionTrue, ""),
			condition(corev1.PodInitialized, corev1.ConditionTrue, ""),
			condition(corev1.PodReady, status, reason),
			condition(corev1.ContainersReady, status, reason),
			condition(corev1.PodScheduled, corev1.ConditionTrue, ""),
		},
		HostIP:    d.hostIP,
		HostIPs:   []corev1.HostIP{{IP: d.hostIP}},
		PodIP:     d.podIP,
		PodIPs:    []corev1.PodIP{{IP: d.podIP}},
		StartTime: &created,
		QOSClass:  corev1.PodQOSGuaranteed,
		ContainerStatuses: []corev1.ContainerStatus{{
			Name:        ExecutorContainer,
			Image:       executorImage,
			ImageID:     imageDigest,
			ContainerID: "containerd://" + strings.Repeat("5e", 29) + d.id,
			Ready:       ready,
			Started:     new(true),
			State:       corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: since}},
			VolumeMounts: []corev1.VolumeMountStatus{
				{Name: "spark-local-dir-1", MountPath: "/var/data/spark-8f3a5c1e-9b7d-4f20-a6c3-e1b5d7f90824"},
				{Name: "spark-conf-volume-exec", MountPath: "/opt/spark/conf"},
			},
		}},
	}
}

// managedFields returns the two entries of a running pod: one of its creator, with a path
// for each variable and volume, and one of its node.
func managedFields(container *corev1.Container) []metav1.ManagedFieldsEntry {
	return []metav1.ManagedFieldsEntry{
		fieldsOf("okhttp", "", specFields(container)),
		fieldsOf("kubelet", "status", statusFields),
	}
}

func fieldsOf(manager, subresource, fields string) metav1.ManagedFieldsEntry {
	return metav1.ManagedFieldsEntry{
		Manager:     manager,
		Operation:   metav1.ManagedFieldsOperationUpdate,
		APIVersion:  "v1",
		Time:        &created,
		FieldsType:  "FieldsV1",
		Subresource: subresource,
		FieldsV1:    fieldsV1(fields),
	}
}

// fieldsV1 makes one with any client-go: NewFieldsV1 is new in 0.36, and the field Raw is gone
// in 0.38.
func fieldsV1(json string) *metav1.FieldsV1 {
	fields := new(metav1.FieldsV1)
	if err := fields.UnmarshalJSON([]byte(json)); err != nil {
		panic(err)
	}
	return fields
}

func specFields(container *corev1.Container) string {
	var b strings.Builder
	b.WriteString(`{"f:metadata":{"f:annotations":{".":{},"f:prometheus.io/path":{},"f:prometheus.io/port":{},"f:prometheus.io/scrape":{}},` +
		`"f:labels":{".":{},"f:spark-app-name":{},"f:spark-app-selector":{},"f:spark-exec-id":{},"f:spark-role":{},"f:team":{}},"f:ownerReferences":{".":{}}},` +
		`"f:spec":{"f:containers":{"k:{\"name\":\"spark-kubernetes-executor\"}":{".":{},"f:args":{},"f:env":{".":{}`)
	for _, e := range container.Env {
		fmt.Fprintf(&b, `,"k:{\"name\":\"%s\"}":{".":{},"f:name":{},"f:value":{}}`, e.Name)
	}
	b.WriteString(`},"f:image":{},"f:imagePullPolicy":{},"f:name":{},"f:resources":{".":{},"f:limits":{".":{},"f:cpu":{},"f:memory":{}},"f:requests":{".":{},"f:cpu":{},"f:memory":{}}},"f:volumeMounts":{".":{}`)
	for _, m := range container.VolumeMounts {
		fmt.Fprintf(&b, `,"k:{\"mountPath\":\"%s\"}":{".":{},"f:mountPath":{},"f:name":{}}`, m.MountPath)
	}
	b.WriteString(`}}},"f:dnsPolicy":{},"f:enableServiceLinks":{},"f:hostname":{},"f:nodeSelector":{},"f:restartPolicy":{},"f:schedulerName":{},"f:volumes":{".":{}}}}`)
	return b.String()
}

const statusFields = `{"f:status":{"f:conditions":{"k:{\"type\":\"ContainersReady\"}":{".":{},"f:lastTransitionTime":{},"f:status":{},"f:type":{}},` +
	`"k:{\"type\":\"Initialized\"}":{".":{},"f:lastTransitionTime":{},"f:status":{},"f:type":{}},` +
	`"k:{\"type\":\"Ready\"}":{".":{},"f:lastTransitionTime":{},"f:status":{},"f:type":{}}},` +
	`"f:containerStatuses":{},"f:hostIP":{},"f:hostIPs":{},"f:phase":{},"f:podIP":{},"f:podIPs":{".":{},"k:{\"ip\":\"10.0.0.0\"}":{".":{},"f:ip":{}}},"f:startTime":{}}}`
