// SPDX-License-Identifier: Apache-2.0

import com.fasterxml.jackson.databind.ObjectMapper;
import io.fabric8.kubernetes.api.model.Pod;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import org.apache.spark.SparkConf;
import org.apache.spark.scheduler.cluster.k8s.ExecutorPodState;
import org.apache.spark.scheduler.cluster.k8s.ExecutorPodsLifecycleManager;
import org.apache.spark.scheduler.cluster.k8s.ExecutorPodsSnapshot;
import org.apache.spark.scheduler.cluster.k8s.FinalPodState;
import org.apache.spark.scheduler.cluster.k8s.PodFailed;
import scala.jdk.javaapi.CollectionConverters;

/**
 * Prints how Spark reads executor pods. The arguments are names for the executor container.
 * Standard input has one pod a line, as JSON. For each pod and each name the program prints
 * three columns: the state with checkAllContainers, the state without it, and the exit
 * code. A state is the name of Spark's class, "-" for a pod that Spark leaves out, or "!"
 * and the name of the exception that Spark throws.
 */
class Judge {
  private static final String CONTAINER_NAME = "spark.kubernetes.executor.podTemplateContainerName";

  private final String container;
  private final ExecutorPodsLifecycleManager manager;
  private final Method findExitCode;

  Judge(String container) throws ReflectiveOperationException {
    this.container = container;
    manager = new ExecutorPodsLifecycleManager(new SparkConf(false).set(CONTAINER_NAME, container), null, null, null);
    findExitCode = ExecutorPodsLifecycleManager.class.getDeclaredMethod("findExitCode", FinalPodState.class);
    findExitCode.setAccessible(true);
  }

  private String state(Pod pod, boolean checkAllContainers) {
    ExecutorPodsSnapshot.setSparkContainerName(container);
    ExecutorPodsSnapshot.setShouldCheckAllContainers(checkAllContainers);
    try {
      var snapshot = ExecutorPodsSnapshot.apply(CollectionConverters.asScala(List.of(pod)).toSeq(), 0L);
      Map<Object, ExecutorPodState> states = CollectionConverters.asJava(snapshot.executorPods());
      return states.isEmpty() ? "-" : states.values().iterator().next().getClass().getSimpleName();
    } catch (RuntimeException e) {
      return "!" + e.getClass().getSimpleName();
    }
  }

  private String exitCode(Pod pod) throws IllegalAccessException {
    try {
      return findExitCode.invoke(manager, new PodFailed(pod)).toString();
    } catch (InvocationTargetException e) {
      return "!" + e.getCause().getClass().getSimpleName();
    }
  }

  public static void main(String[] names) throws Exception {
    var judges = new Judge[names.length];
    for (int i = 0; i < names.length; i++) {
      judges[i] = new Judge(names[i]);
    }
    var mapper = new ObjectMapper();
    var in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    var out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
    int number = 0;
    for (String line; (line = in.readLine()) != null; ) {
      number++;
      Pod pod;
      try {
        pod = mapper.readValue(line, Pod.class);
      } catch (Exception e) {
        System.err.println("line " + number + " is not a pod in JSON: " + e.getMessage());
        System.exit(2);
        return;
      }
      var columns = new StringBuilder();
      for (Judge judge : judges) {
        columns.append(judge.state(pod, true)).append('\t').append(judge.state(pod, false)).append('\t')
            .append(judge.exitCode(pod)).append('\t');
      }
      out.println(columns.toString().strip());
    }
    out.flush();
  }
}
