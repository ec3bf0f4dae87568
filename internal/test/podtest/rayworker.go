// SPDX-License-Identifier: Apache-2.0

package podtest

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// rayWorker describes a worker of a Ray cluster, as the KubeRay operator makes it. There are
// about 60 clusters with three groups of workers each.
func rayWorker(v *variation) *corev1.Pod {
	v.creator = "ray-operator"
	app := v.application()
	cluster, group := "raycluster-"+app, v.oneOf("cpu", "gpu-a100", "gpu-spot-large")
	head := cluster + "-head-svc." + ExecutorNamespace + ".svc.cluster.local"
	image := "registry.example.com/ml/ray:" + v.oneOf("2.50.1-py312-cu128", "2.49.2-py311", "nightly-py312-gpu")
	cpus, memory := v.oneOf("8", "16", "32"), v.oneOf("32Gi", "64Gi", "192Gi")
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name:         cluster + "-" + group + "-worker-" + v.suffix(5),
			GenerateName: cluster + "-" + group + "-worker-",
			Labels: map[string]string{
				"app.kubernetes.io/created-by":      "kuberay-operator",
				"app.kubernetes.io/name":            "kuberay",
				"app.kubernetes.io/part-of":         app,
				"ray.io/cluster":                    cluster,
				"ray.io/group":                      group,
				"ray.io/identifier":                 cluster + "-worker",
				"ray.io/is-ray-node":                "yes",
				"ray.io/node-type":                  "worker",
				"ray.io/originated-from-cr-name":    app + "-" + v.suffix(5),
				"ray.io/originated-from-crd":        "RayJob",
				"ray.io/worker-group-replica-index": fmt.Sprint(v.between(0, 300)),
				"kueue.x-k8s.io/queue-name":         v.oneOf("ml-training", "ml-batch-inference"),
				"experiment":                        "exp-" + v.suffix(8),
				"cost-center":                       fmt.Sprint(v.between(900, 12_000)),
				"team":                              v.team(),
				"environment":                       "production",
			},
			Annotations:     rayAnnotations(v, app),
			OwnerReferences: []metav1.OwnerReference{ownedBy("ray.io/v1", "RayCluster", cluster, v)},
		},
		Spec: podSpec(v, "ray-worker", "ml-"+group),
	}
	addRayContainers(&pod.Spec, image, head, group, cpus, memory)
	pod.Spec.Volumes = []corev1.Volume{
		{Name: "shared-mem", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory, SizeLimit: quantity(memory)}}},
		emptyDir("log-volume", "20Gi"),
		{Name: "model-cache", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "model-cache-" + group}}},
		configMap("training-config", app+"-training", "config.yaml", "accelerate.yaml"),
	}
	addServiceAccount(v, &pod.Spec)
	return pod
}

func rayAnnotations(v *variation, app string) map[string]string {
	return map[string]string{
		"ray.io/ft-enabled":                              "false",
		"ray.io/external-storage-namespace":              v.uuid(),
		"cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
		"prometheus.io/scrape":                           "true",
		"prometheus.io/port":                             "8080",
		"sidecar.istio.io/inject":                        "false",
		"karpenter.sh/do-not-disrupt":                    "true",
		"mlflow.example.com/run-id":                      v.hex(32),
		"mlflow.example.com/artifacts":                   "s3://ml-artifacts-eu-central-1/" + app + "/" + v.hex(32) + "/artifacts",
		"kubectl.kubernetes.io/default-container":        "ray-worker",
	}
}

// addRayContainers adds the containers of a worker of a group.
func addRayContainers(spec *corev1.PodSpec, image, head, group, cpus, memory string) {
	env := rayEnv(head, group, cpus, memory)
	mounts := []corev1.VolumeMount{
		{Name: "shared-mem", MountPath: "/dev/shm"},
		{Name: "log-volume", MountPath: "/tmp/ray"},
		{Name: "model-cache", MountPath: "/models"},
		{Name: "training-config", MountPath: "/etc/training", ReadOnly: true},
	}
	spec.InitContainers = []corev1.Container{{
		Name: "wait-gcs-ready", Image: image, ImagePullPolicy: corev1.PullIfNotPresent,
		Command: []string{"/bin/bash", "-c", "--"}, Args: []string{waitForHead(head)},
		Env: env, Resources: resources("200m", "256Mi"), VolumeMounts: mounts[:2],
		TerminationMessagePath: corev1.TerminationMessagePathDefault, TerminationMessagePolicy: corev1.TerminationMessageReadFile,
	}}
	worker := corev1.Container{
		Name: "ray-worker", Image: image, ImagePullPolicy: corev1.PullIfNotPresent,
		Command: []string{"/bin/bash", "-c", "--"}, Args: []string{"ulimit -n 65536; " + rayStart(head, cpus, memory)},
		Ports: []corev1.ContainerPort{port("metrics", 8080), port("dashboard-agent", 52365)},
		Env:   env, Resources: resources(cpus, memory), VolumeMounts: mounts,
		Lifecycle:              &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"/bin/sh", "-c", "ray stop"}}}},
		LivenessProbe:          execProbe(rayHealth, 5, 2),
		ReadinessProbe:         execProbe(rayHealth, 5, 2),
		TerminationMessagePath: corev1.TerminationMessagePathDefault, TerminationMessagePolicy: corev1.TerminationMessageReadFile,
	}
	worker.Resources.Limits["nvidia.com/gpu"] = resource.MustParse("1")
	worker.Resources.Requests["nvidia.com/gpu"] = resource.MustParse("1")
	spec.Containers = []corev1.Container{worker}
}

const rayHealth = "wget --tries 1 -T 2 -q -O- http://localhost:52365/api/local_raylet_healthz | grep success"

func rayStart(head, cpus, memory string) string {
	return fmt.Sprintf("ray start --address=%s:6379 --block --dashboard-agent-listen-port=52365 --memory=%d --metrics-export-port=8080 --num-cpus=%s --num-gpus=1 --resources='{\"accelerator\": 1}'",
		head, quantity(memory).Value(), cpus)
}

// waitForHead is the script of the init container, which waits for the head of the cluster.
func waitForHead(head string) string {
	return fmt.Sprintf(`
SECONDS=0
while true; do
  if (( SECONDS <= 120 )); then
    if ray health-check --address %[1]s:6379 > /dev/null 2>&1; then
      echo "the head is ready"
      break
    fi
    echo "$SECONDS seconds elapsed: waiting for the head"
  else
    if ray health-check --address %[1]s:6379; then
      echo "the head is ready"
      break
    fi
    echo "$SECONDS seconds elapsed: still waiting for the head at %[1]s:6379"
  fi
  sleep 5
done
`, head)
}

func rayEnv(head, group, cpus, memory string) []corev1.EnvVar {
	return []corev1.EnvVar{
		{Name: "FQ_RAY_IP", Value: head},
		{Name: "RAY_IP", Value: head[:len(head)-len(".svc.cluster.local")]},
		fieldVariable("RAY_CLUSTER_NAME", "metadata.labels['ray.io/cluster']"),
		fieldVariable("RAY_CLOUD_INSTANCE_ID", "metadata.name"),
		fieldVariable("RAY_NODE_TYPE_NAME", "metadata.labels['ray.io/group']"),
		{Name: "KUBERAY_GEN_RAY_START_CMD", Value: rayStart(head, cpus, memory)},
		{Name: "RAY_PORT", Value: "6379"},
		{Name: "RAY_ADDRESS", Value: head + ":6379"},
		{Name: "RAY_USAGE_STATS_KUBERAY_IN_USE", Value: "1"},
		secretVariable("REDIS_PASSWORD", "ray-redis", "password"),
		secretVariable("HF_TOKEN", "huggingface", "token"),
		{Name: "RAY_DASHBOARD_ENABLE_K8S_DISK_USAGE", Value: "1"},
		{Name: "RAY_memory_monitor_refresh_ms", Value: "250"},
		{Name: "NCCL_DEBUG", Value: "WARN"},
		{Name: "NCCL_SOCKET_IFNAME", Value: "eth0"},
		{Name: "WORKER_GROUP", Value: group},
	}
}
