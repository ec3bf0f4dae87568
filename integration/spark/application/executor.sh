#!/bin/sh
# SPDX-License-Identifier: Apache-2.0

# The entrypoint of an image for Spark's executors: starts the executor that the
# environment of the pod describes. SPARK_HOME has Spark's jars.
set -eu
set --
number=0
while eval "test -n \"\${SPARK_JAVA_OPT_$number+set}\""; do
	eval "set -- \"\$@\" \"\$SPARK_JAVA_OPT_$number\""
	number=$((number + 1))
done
exec "$WATCHSOURCE_JAVA" "$@" "-Xmx$SPARK_EXECUTOR_MEMORY" -cp "$SPARK_HOME/jars/*" \
	org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend \
	--driver-url "$SPARK_DRIVER_URL" \
	--executor-id "$SPARK_EXECUTOR_ID" \
	--cores "$SPARK_EXECUTOR_CORES" \
	--app-id "$SPARK_APPLICATION_ID" \
	--hostname "$SPARK_EXECUTOR_POD_IP" \
	--resourceProfileId "$SPARK_RESOURCE_PROFILE_ID" \
	--podName "$SPARK_EXECUTOR_POD_NAME"
