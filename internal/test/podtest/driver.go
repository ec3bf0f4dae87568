// SPDX-License-Identifier: Apache-2.0

package podtest

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// driver describes the driver of a Spark application, as the Spark operator makes it. Each
// driver is of another run, most of them of the same applications.
func driver(v *variation) *corev1.Pod {
	v.creator = "spark-operator"
	app, id, run, team := v.application(), "spark-"+v.hex(32), v.hex(16), v.team()
	image := "registry.example.com/" + team + "/spark:" + v.oneOf("4.1.0-scala2.13-java21", "4.0.1-java17", "3.5.7-scala2.12-java17-python3")
	memory := v.oneOf("1433Mi", "2432Mi", "4505Mi", "9011Mi", "22528Mi")
	localDir := "/var/data/spark-" + v.uuid()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: app + "-" + run + "-driver",
			Labels: map[string]string{
				"spark-app-name":                                 app,
				"spark-app-selector":                             id,
				"spark-role":                                     "driver",
				"spark-version":                                  "4.1.0",
				"sparkoperator.k8s.io/app-name":                  app,
				"sparkoperator.k8s.io/launched-by":               "spark-operator",
				"sparkoperator.k8s.io/submission-id":             v.uuid(),
				"sparkoperator.k8s.io/mutated-by-spark-operator": "true",
				"team": team,
			},
			Annotations: map[string]string{
				"cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
				"prometheus.io/scrape":                           "true",
				"prometheus.io/path":                             "/metrics",
				"prometheus.io/port":                             "8090",
				"sidecar.istio.io/inject":                        "false",
			},
			OwnerReferences: []metav1.OwnerReference{ownedBy("sparkoperator.k8s.io/v1beta2", "SparkApplication", app+"-"+v.suffix(5), v)},
		},
		Spec: podSpec(v, "spark-driver", "spark-drivers"),
	}
	names := driverNames{app: app, id: id, run: run, team: team, localDir: localDir}
	pod.Spec.Containers = []corev1.Container{driverContainer(v, names, image, memory)}
	pod.Spec.Volumes = driverVolumes(v, names)
	addServiceAccount(v, &pod.Spec)
	return pod
}

// driverNames are the names that the parts of a driver have in common.
type driverNames struct{ app, id, run, team, localDir string }

func driverContainer(v *variation, n driverNames, image, memory string) corev1.Container {
	return corev1.Container{
		Name:            "spark-kubernetes-driver",
		Image:           image,
		ImagePullPolicy: corev1.PullIfNotPresent,
		Args: []string{
			"driver", "--properties-file", "/opt/spark/conf/spark.properties", "--class", "com.example." + v.oneOf("etl.Main", "pipelines.RevenueReport", "features.Backfill"),
			"s3a://" + n.team + "-artifacts/" + n.app + "/" + n.app + "-assembly-" + fmt.Sprintf("%d.%d.%d", v.between(1, 4), v.between(0, 30), v.between(0, 12)) + ".jar",
			"--date", v.created.Format("2006-01-02"), "--run", n.run,
		},
		Ports: []corev1.ContainerPort{
			port("driver-rpc-port", 7078), port("blockmanager", 7079), port("spark-ui", 4040), port("metrics", 8090),
		},
		Env: []corev1.EnvVar{
			{Name: "SPARK_USER", Value: v.oneOf("root", "etl", "airflow", "185")},
			{Name: "SPARK_APPLICATION_ID", Value: n.id},
			fieldVariable("SPARK_DRIVER_BIND_ADDRESS", "status.podIP"),
			fieldVariable("POD_NAMESPACE", "metadata.namespace"),
			{Name: "SPARK_LOCAL_DIRS", Value: n.localDir},
			{Name: "SPARK_CONF_DIR", Value: "/opt/spark/conf"},
			{Name: "HADOOP_CONF_DIR", Value: "/opt/hadoop/conf"},
			{Name: "AWS_REGION", Value: "eu-central-1"},
			{Name: "OTEL_EXPORTER_OTLP_ENDPOINT", Value: "http://otel-collector.observability.svc:4317"},
			secretVariable("AWS_ACCESS_KEY_ID", n.team+"-s3", "access-key"),
			secretVariable("AWS_SECRET_ACCESS_KEY", n.team+"-s3", "secret-key"),
			secretVariable("METASTORE_PASSWORD", "hive-metastore", "password"),
		},
		Resources: resources(v.oneOf("1", "2", "4"), memory),
		VolumeMounts: []corev1.VolumeMount{
			{Name: "spark-local-dir-1", MountPath: n.localDir},
			{Name: "spark-conf-volume-driver", MountPath: "/opt/spark/conf"},
			{Name: "hadoop-properties", MountPath: "/opt/hadoop/conf"},
			{Name: "pod-template-volume", MountPath: "/opt/spark/pod-template"},
			{Name: "checkpoints", MountPath: "/mnt/checkpoints"},
			{Name: "truststore", MountPath: "/etc/ssl/spark", ReadOnly: true},
		},
		TerminationMessagePath:   corev1.TerminationMessagePathDefault,
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
		SecurityContext:          &corev1.SecurityContext{AllowPrivilegeEscalation: new(false), RunAsUser: new(int64(185)), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}},
	}
}

func driverVolumes(v *variation, n driverNames) []corev1.Volume {
	return []corev1.Volume{
		emptyDir("spark-local-dir-1", v.oneOf("32Gi", "64Gi", "256Gi")),
		configMap("spark-conf-volume-driver", "spark-drv-"+n.run+"-conf-map", "log4j2.properties", "spark.properties", "metrics.properties"),
		configMap("hadoop-properties", n.team+"-hadoop-config", "core-site.xml", "hdfs-site.xml"),
		configMap("pod-template-volume", n.app+"-"+n.run+"-driver-podspec-conf-map", "pod-spec-template.yml"),
		{Name: "checkpoints", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: n.app + "-checkpoints"}}},
		{Name: "truststore", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: n.team + "-truststore", DefaultMode: new(int32(0o644))}}},
	}
}

// ownedBy returns the owner of one pod.
func ownedBy(apiVersion, kind, name string, v *variation) metav1.OwnerReference {
	return metav1.OwnerReference{APIVersion: apiVersion, Kind: kind, Name: name, UID: v.uid(), Controller: new(true), BlockOwnerDeletion: new(true)}
}

// podSpec returns the parts of a spec that pods of all kinds have.
func podSpec(v *variation, account, pool string) corev1.PodSpec {
	return corev1.PodSpec{
		RestartPolicy:                 corev1.RestartPolicyNever,
		DNSPolicy:                     corev1.DNSClusterFirst,
		SchedulerName:                 corev1.DefaultSchedulerName,
		ServiceAccountName:            account,
		DeprecatedServiceAccount:      account,
		TerminationGracePeriodSeconds: new(int64(v.between(1, 4) * 30)),
		EnableServiceLinks:            new(false),
		PriorityClassName:             "batch-" + v.oneOf("low", "default", "high"),
		Priority:                      new(int32(1000)),
		PreemptionPolicy:              new(corev1.PreemptLowerPriority),
		ImagePullSecrets:              []corev1.LocalObjectReference{{Name: "registry-credentials"}},
		NodeSelector:                  map[string]string{"node.example.com/pool": pool, "kubernetes.io/arch": v.oneOf("amd64", "arm64")},
		SecurityContext:               &corev1.PodSecurityContext{FSGroup: new(int64(1000)), RunAsNonRoot: new(true), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
		Affinity: &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
			NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{{
				Key: corev1.LabelTopologyZone, Operator: corev1.NodeSelectorOpIn, Values: []string{"eu-central-1" + v.oneOf("a", "b", "c")},
			}}}},
		}}},
		Tolerations: []corev1.Toleration{
			{Key: "node.example.com/pool", Operator: corev1.TolerationOpEqual, Value: pool, Effect: corev1.TaintEffectNoSchedule},
			toleration("node.kubernetes.io/not-ready"),
			toleration("node.kubernetes.io/unreachable"),
		},
	}
}

// addServiceAccount adds the volume of the service account's token, and mounts it in each
// container, as the API server does.
func addServiceAccount(v *variation, spec *corev1.PodSpec) {
	name := "kube-api-access-" + v.suffix(5)
	mount := corev1.VolumeMount{Name: name, MountPath: "/var/run/secrets/kubernetes.io/serviceaccount", ReadOnly: true}
	for i := range spec.InitContainers {
		spec.InitContainers[i].VolumeMounts = append(spec.InitContainers[i].VolumeMounts, mount)
	}
	for i := range spec.Containers {
		spec.Containers[i].VolumeMounts = append(spec.Containers[i].VolumeMounts, mount)
	}
	spec.Volumes = append(spec.Volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
		DefaultMode: new(int32(0o644)),
		Sources: []corev1.VolumeProjection{
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{ExpirationSeconds: new(int64(3607)), Path: "token"}},
			{ConfigMap: &corev1.ConfigMapProjection{
				LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"},
				Items:                []corev1.KeyToPath{{Key: "ca.crt", Path: "ca.crt"}},
			}},
			{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{
				{Path: "namespace", FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.namespace"}},
			}}},
		},
	}}})
}

func port(name string, number int32) corev1.ContainerPort {
	return corev1.ContainerPort{Name: name, ContainerPort: number, Protocol: corev1.ProtocolTCP}
}

func fieldVariable(name, path string) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: path}}}
}

func secretVariable(name, secret, key string) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
		LocalObjectReference: corev1.LocalObjectReference{Name: secret}, Key: key,
	}}}
}

func resources(cpu, memory string) corev1.ResourceRequirements {
	return corev1.ResourceRequirements{
		Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(memory)},
		Requests: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(memory), corev1.ResourceCPU: resource.MustParse(cpu)},
	}
}

func emptyDir(name, limit string) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: quantity(limit)}}}
}

func configMap(volume, name string, keys ...string) corev1.Volume {
	source := &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: name}, DefaultMode: new(int32(0o644))}
	for _, key := range keys {
		source.Items = append(source.Items, corev1.KeyToPath{Key: key, Path: key})
	}
	return corev1.Volume{Name: volume, VolumeSource: corev1.VolumeSource{ConfigMap: source}}
}

func execProbe(command string, period, timeout int32) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler:        corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"bash", "-c", command}}},
		InitialDelaySeconds: 10, PeriodSeconds: period, TimeoutSeconds: timeout, SuccessThreshold: 1, FailureThreshold: 120,
	}
}

func httpProbe(path string, number int) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromInt(number), Scheme: corev1.URISchemeHTTP}},
		PeriodSeconds: 10, TimeoutSeconds: 1, SuccessThreshold: 1, FailureThreshold: 3,
	}
}
