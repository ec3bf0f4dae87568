// SPDX-License-Identifier: Apache-2.0

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.stream.IntStream;
import org.apache.spark.SparkConf;
import org.apache.spark.TaskContext;
import org.apache.spark.api.java.JavaSparkContext;

/**
 * A Spark application that does what the lines on standard input say, one after the other,
 * and stops at their end. The line "sleep 600 100" is a job of 600 tasks that sleep for 100
 * ms each. The line "exhaust" is a job of one task. Its first attempt runs out of memory.
 * After each job the program prints the number of tasks that have ended.
 */
public class Job {
  public static void main(String[] args) throws Exception {
    try (var context = new JavaSparkContext(new SparkConf())) {
      var in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
      for (String line; (line = in.readLine()) != null; ) {
        var words = line.split(" ");
        long ended = switch (words[0]) {
          case "sleep" -> sleep(context, Integer.parseInt(words[1]), Long.parseLong(words[2]));
          case "exhaust" -> exhaust(context);
          default -> throw new IllegalArgumentException("unknown job: " + line);
        };
        System.out.println(line + ": " + ended);
      }
    }
  }

  private static long sleep(JavaSparkContext context, int tasks, long millis) {
    return context.parallelize(IntStream.range(0, tasks).boxed().toList(), tasks).map(number -> {
      Thread.sleep(millis);
      return number;
    }).count();
  }

  private static long exhaust(JavaSparkContext context) {
    return context.parallelize(IntStream.range(0, 1).boxed().toList(), 1).map(number -> {
      if (TaskContext.get().attemptNumber() == 0) {
        throw new OutOfMemoryError("a task wants more memory than there is");
      }
      return number;
    }).count();
  }
}
