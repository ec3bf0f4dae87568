// SPDX-License-Identifier: Apache-2.0

import com.sun.management.OperatingSystemMXBean;
import io.fabric8.kubernetes.api.model.Pod;
import io.fabric8.kubernetes.client.KubernetesClient;
import java.io.IOException;
import java.io.PrintWriter;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executors;
import org.apache.spark.SparkConf;
import org.apache.spark.deploy.k8s.SparkKubernetesClientFactory;
import org.apache.spark.deploy.k8s.SparkKubernetesClientFactory.ClientType$;
import org.apache.spark.scheduler.cluster.k8s.ExecutorPodState;
import org.apache.spark.scheduler.cluster.k8s.ExecutorPodsPollingSnapshotSource;
import org.apache.spark.scheduler.cluster.k8s.ExecutorPodsSnapshot;
import org.apache.spark.scheduler.cluster.k8s.ExecutorPodsSnapshotsStoreImpl;
import org.apache.spark.scheduler.cluster.k8s.ExecutorPodsWatchSnapshotSource;
import org.apache.spark.util.SystemClock;
import scala.Option;
import scala.collection.immutable.Seq;
import scala.jdk.javaapi.CollectionConverters;
import scala.runtime.BoxedUnit;

/**
 * Watches the executor pods of an application with Spark's own classes: its watch source, its
 * store, and one subscriber at Spark's interval of a second. The arguments are pairs of a name
 * and a value. The program speaks like the consumers of the benchmark: it prints "ready" when
 * it has seen the pods, again when it has seen the marker of the warm-up, and its figures in
 * JSON when it has seen the last marker. With the name of a pod to follow it prints the versions
 * of that pod instead. It ends with its input.
 */
class SparkWatch {
  private static final long INTERVAL_MILLIS = 1000; // spark.kubernetes.executor.eventProcessingInterval

  private final Map<String, String> options;
  private final int pods;
  private final Map<Object, ExecutorPodState> known = new HashMap<>();
  private final CountDownLatch complete = new CountDownLatch(1);
  private final CountDownLatch warm = new CountDownLatch(1);
  private final CountDownLatch ended = new CountDownLatch(1);
  private final PrintWriter samples; // null for none
  private boolean warmUpSeen;
  private boolean markerSeen;
  private String separator = "["; // before the next sample

  SparkWatch(Map<String, String> options) throws Exception {
    this.options = options;
    pods = Integer.parseInt(options.get("pods"));
    samples = options.get("samples").isEmpty()
        ? null : new PrintWriter(Files.newBufferedWriter(Path.of(options.get("samples"))));
  }

  /**
   * Looks for new states in the last snapshot only. Spark's subscribers look at all pods of
   * all snapshots.
   */
  private BoxedUnit read(Seq<ExecutorPodsSnapshot> snapshots) {
    if (snapshots.isEmpty()) {
      return BoxedUnit.UNIT;
    }
    var last = CollectionConverters.asJava(snapshots.last().executorPods());
    if (last.size() >= pods) {
      complete.countDown();
    }
    last.forEach((id, state) -> {
      var before = known.put(id, state);
      if (before == null || before.pod() != state.pod()) {
        see(state.pod());
      }
    });
    if (warmUpSeen) {
      warm.countDown();
    }
    if (markerSeen) {
      ended.countDown(); // not earlier, because the map has no order
    }
    return BoxedUnit.UNIT;
  }

  private void see(Pod pod) {
    var meta = pod.getMetadata();
    if (samples != null) {
      var now = Instant.now();
      samples.printf("%s{\"pod\":\"%s\",\"version\":\"%s\",\"at\":%d}", separator,
          meta.getName(), meta.getResourceVersion(), now.getEpochSecond() * 1_000_000_000L + now.getNano());
      separator = ",\n";
    }
    warmUpSeen |= meta.getName().startsWith(options.get("warm-up-marker"));
    markerSeen |= meta.getName().startsWith(options.get("marker"));
  }

  /** A store, its configuration, and the client of its sources. */
  private record Cluster(SparkConf conf, KubernetesClient client, ExecutorPodsSnapshotsStoreImpl store) {
    static Cluster of(Map<String, String> options) {
      var namespace = options.get("namespace");
      var conf = new SparkConf(false).set("spark.kubernetes.namespace", namespace);
      var client = SparkKubernetesClientFactory.createKubernetesClient(
          options.get("master"), Option.apply(namespace), "spark.kubernetes.authenticate",
          ClientType$.MODULE$.Driver(), conf, Option.empty());
      var store = new ExecutorPodsSnapshotsStoreImpl(Executors.newScheduledThreadPool(2), new SystemClock(), conf);
      return new Cluster(conf, client, store);
    }

    void watch(String app) {
      new ExecutorPodsWatchSnapshotSource(store, client, conf).start(app);
    }

    void poll(String app) {
      new ExecutorPodsPollingSnapshotSource(conf, client, store, Executors.newScheduledThreadPool(1)).start(app);
    }
  }

  /**
   * Prints each version of one pod that a subscriber is shown: with the watch only, and with
   * Spark's polling beside it.
   */
  private static void follow(Map<String, String> options) throws InterruptedException {
    for (boolean poll : new boolean[] {false, true}) {
      var cluster = Cluster.of(options);
      var last = new String[1];
      cluster.store.addSubscriber(INTERVAL_MILLIS, snapshots -> {
        if (snapshots.isEmpty()) {
          return BoxedUnit.UNIT;
        }
        for (var state : CollectionConverters.asJava(snapshots.last().executorPods()).values()) {
          var meta = state.pod().getMetadata();
          if (meta.getName().equals(options.get("follow")) && !meta.getResourceVersion().equals(last[0])) {
            last[0] = meta.getResourceVersion();
            System.out.println((poll ? "polled " : "watched ") + last[0]);
          }
        }
        return BoxedUnit.UNIT;
      });
      cluster.watch(options.get("app"));
      if (poll) {
        cluster.poll(options.get("app"));
      }
    }
    new CountDownLatch(1).await(); // until the input ends
  }

  private void measure() throws Exception {
    var cluster = Cluster.of(options);
    cluster.store.addSubscriber(INTERVAL_MILLIS, this::read);

    var empty = Reading.collected();
    cluster.watch(options.get("app"));
    complete.await();
    var view = Reading.now();
    var before = Reading.collected();
    System.out.println("ready");
    warm.await();
    before = Reading.collected();
    System.out.println("ready");
    ended.await();
    var after = Reading.now();
    var end = Reading.collected();
    if (samples != null) {
      samples.println("]");
      samples.close();
    }
    double updates = Double.parseDouble(options.get("updates"));
    System.out.println("{"
        + "\"viewSeconds\":" + (view.nanos - empty.nanos) / 1e9
        + ",\"viewCPUMicros\":" + (view.cpu - empty.cpu) / 1e3 / pods
        + ",\"heapBytes\":" + (double) (before.heap - empty.heap) / pods
        + ",\"eventSeconds\":" + (after.nanos - before.nanos) / 1e9
        + ",\"eventCPUMicros\":" + (after.cpu - before.cpu) / 1e3 / updates
        + ",\"endHeapBytes\":" + (double) (end.heap - empty.heap) / pods
        + ",\"peakBytes\":" + peakBytes()
        + "}");
  }

  /** What this process has used up to a moment: the kernel's time, its CPU time, live bytes. */
  private record Reading(long nanos, long cpu, long heap) {
    static Reading now() {
      var process = (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
      return new Reading(System.nanoTime(), process.getProcessCpuTime(),
          ManagementFactory.getMemoryMXBean().getHeapMemoryUsage().getUsed());
    }

    static Reading collected() {
      System.gc();
      System.gc();
      return now();
    }
  }

  private static long peakBytes() throws Exception {
    for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
      if (line.startsWith("VmHWM:")) {
        return Long.parseLong(line.replaceAll("[^0-9]", "")) << 10;
      }
    }
    throw new IllegalStateException("/proc/self/status has no VmHWM");
  }

  private static void endWithInput() {
    try {
      while (System.in.read() >= 0) {
        // the parent writes nothing
      }
    } catch (IOException e) {
      // as if it had ended
    }
    System.exit(1);
  }

  public static void main(String[] args) throws Exception {
    var options = new HashMap<String, String>();
    for (int i = 0; i < args.length; i += 2) {
      options.put(args[i], args[i + 1]);
    }
    var input = new Thread(SparkWatch::endWithInput);
    input.setDaemon(true);
    input.start();
    if (!options.get("follow").isEmpty()) {
      follow(options);
    }
    new SparkWatch(options).measure();
    System.exit(0); // Spark's threads go on
  }
}
