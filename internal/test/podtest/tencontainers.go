// SPDX-License-Identifier: Apache-2.0

package podtest

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// tenContainers describes a step of a workflow that runs in ten containers, as Argo Workflows
// makes it.
func tenContainers(v *variation) *corev1.Pod {
	v.creator = "workflow-controller"
	app := v.application()
	workflow, step := app+"-"+v.suffix(5), v.oneOf("ingest", "validate-and-load", "train-and-score")
	node := fmt.Sprintf("%s-%d", workflow, v.between(100_000, 4_294_967_295))
	date := v.created.Format("2006-01-02")
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprintf("%s-%s-%d", workflow, step, v.between(100_000, 4_294_967_295)),
			Labels: map[string]string{
				"workflows.argoproj.io/workflow":  workflow,
				"workflows.argoproj.io/completed": "false",
				"app.kubernetes.io/name":          app,
				"app.kubernetes.io/managed-by":    "argo-workflows",
				"team":                            v.team(),
			},
			Annotations: map[string]string{
				"kubectl.kubernetes.io/default-container":        KindContainer,
				"workflows.argoproj.io/node-id":                  node,
				"workflows.argoproj.io/node-name":                workflow + "." + step,
				"workflows.argoproj.io/pod-name-format":          "v2",
				"workflows.argoproj.io/scheduled-time":           v.created.UTC().Format("2006-01-02T15:04:05Z"),
				"cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
			},
			OwnerReferences: []metav1.OwnerReference{ownedBy("argoproj.io/v1alpha1", "Workflow", workflow, v)},
		},
		Spec: podSpec(v, "argo-workflow", "workflows"),
	}
	env := workflowVariables(v, app, workflow, node, step, date)
	image := "registry.example.com/workflows/" + app
	tag := fmt.Sprintf("%d.%d.%d-%s", v.between(1, 3), v.between(0, 20), v.between(0, 9), v.oneOf("3f9c2ab", "b81d07e", "77aa019"))
	pod.Spec.InitContainers = []corev1.Container{
		workflowContainer("init", "registry.example.com/argo/argoexec:v3.7.2", env, "argoexec", "init", "--loglevel", "info", "--log-format", "text"),
	}
	pod.Spec.Containers = workflowContainers(v, env, image, tag, app, date)
	pod.Spec.Volumes = []corev1.Volume{
		{Name: "var-run-argo", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
		emptyDir("tmp-dir-argo", "4Gi"),
		emptyDir("workspace", v.oneOf("50Gi", "200Gi")),
		configMap("settings", app+"-settings", "settings.yaml"),
	}
	addServiceAccount(v, &pod.Spec)
	return pod
}

func workflowVariables(v *variation, app, workflow, node, step, date string) []corev1.EnvVar {
	return []corev1.EnvVar{
		fieldVariable("ARGO_POD_NAME", "metadata.name"),
		fieldVariable("ARGO_POD_UID", "metadata.uid"),
		{Name: "ARGO_WORKFLOW_NAME", Value: workflow},
		{Name: "ARGO_CONTAINER_NAME"},
		{Name: "ARGO_NODE_ID", Value: node},
		{Name: "ARGO_TEMPLATE", Value: argoTemplate(v, app, step, date)},
		{Name: "ARGO_DEADLINE", Value: after(v.created, v.seconds(3600, 90_000)).UTC().Format("2006-01-02T15:04:05Z")},
		{Name: "ARGO_PROGRESS_FILE", Value: "/var/run/argo/progress"},
	}
}

// workflowContainers returns ten containers of images with a tag.
func workflowContainers(v *variation, env []corev1.EnvVar, image, tag, app, date string) (all []corev1.Container) {
	for _, name := range []string{KindContainer, "wait", "fetch", "decompress", "deduplicate", "enrich", "aggregate", "export", "log-shipper", "metrics"} {
		c := workflowContainer(name, image+"-"+name+":"+tag, env, "/var/run/argo/argoexec", "emissary", "--loglevel", "info", "--",
			"/app/"+name, "--input", "s3://lake-eu-central-1/raw/"+app+"/dt="+date, "--part", fmt.Sprint(v.between(0, 4000)))
		switch name {
		case "wait":
			c.Image, c.Command = "registry.example.com/argo/argoexec:v3.7.2", []string{"argoexec", "wait", "--loglevel", "info", "--log-format", "text"}
		case "log-shipper", "metrics":
			c.Ports = []corev1.ContainerPort{port("http", 9102)}
			c.ReadinessProbe, c.LivenessProbe = httpProbe("/ready", 9102), httpProbe("/healthz", 9102)
		}
		all = append(all, c)
	}
	return all
}

// workflowContainer has its own name in one of the variables.
func workflowContainer(name, image string, env []corev1.EnvVar, command ...string) corev1.Container {
	own := make([]corev1.EnvVar, len(env))
	copy(own, env)
	for i := range own {
		if own[i].Name == "ARGO_CONTAINER_NAME" {
			own[i].Value = name
		}
	}
	return corev1.Container{
		Name: name, Image: image, ImagePullPolicy: corev1.PullIfNotPresent, Command: command, Env: own,
		Resources: resources("250m", "512Mi"),
		VolumeMounts: []corev1.VolumeMount{
			{Name: "var-run-argo", MountPath: "/var/run/argo"},
			{Name: "tmp-dir-argo", MountPath: "/tmp", SubPath: name},
			{Name: "workspace", MountPath: "/workspace"},
			{Name: "settings", MountPath: "/etc/workflow", ReadOnly: true},
		},
		TerminationMessagePath:   corev1.TerminationMessagePathDefault,
		TerminationMessagePolicy: corev1.TerminationMessageReadFile,
		SecurityContext:          &corev1.SecurityContext{AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true)},
	}
}

// argoTemplate is the template of the step in JSON, which Argo passes to each container.
func argoTemplate(v *variation, app, step, date string) string {
	return fmt.Sprintf(`{"name":%q,"inputs":{"parameters":[{"name":"date","value":%q},{"name":"run","value":%q},{"name":"shard","value":"%d"}],`+
		`"artifacts":[{"name":"raw","path":"/workspace/raw","s3":{"endpoint":"s3.eu-central-1.amazonaws.com","bucket":"lake-eu-central-1","key":"raw/%s/dt=%s/%s.parquet"}}]},`+
		`"outputs":{"parameters":[{"name":"rows","valueFrom":{"path":"/workspace/rows"}}]},"metadata":{},"containerSet":{"volumeMounts":[{"name":"workspace","mountPath":"/workspace"}]},`+
		`"archiveLocation":{"archiveLogs":true,"s3":{"endpoint":"s3.eu-central-1.amazonaws.com","bucket":"workflow-logs","key":"%s/%s"}},"retryStrategy":{"limit":"3"},"activeDeadlineSeconds":"86400"}`,
		step, date, v.uuid(), v.between(0, 4000), app, date, v.hex(32), app, v.uuid())
}
