package peers;

import java.time.Duration;
import java.util.Map;
import org.apache.flink.api.common.eventtime.Watermark;
import org.apache.flink.api.common.eventtime.WatermarkGenerator;
import org.apache.flink.api.common.eventtime.WatermarkOutput;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.serialization.SimpleStringSchema;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.core.execution.CheckpointingMode;
import org.apache.flink.core.execution.JobClient;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.KeyedStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.windowing.assigners.SlidingEventTimeWindows;
import org.apache.flink.streaming.api.windowing.assigners.TumblingEventTimeWindows;

/**
 * Windowed aggregates per key on a local cluster, exactly once from topic to topic.
 *
 * <p>`sliding`: three sliding windows of Flink's own. `panes`: per key one state of five-minute
 * panes, merged into the three windows by a timer at each pane's end. `tumbling`: one window of five
 * minutes alone, which answers none of the three. Each result is a row ending with the window's end.
 */
public final class Windows {
  static final long HOP_MS = Duration.ofMinutes(5).toMillis();
  static final long[] WINDOWS_MINUTES = {60, 360, 1440};
  private static final int PARALLELISM = 2;

  private Windows() {}

  public static void main(String[] arguments) throws Exception {
    Map<String, String> options = Options.of(arguments);
    StreamExecutionEnvironment environment =
        StreamExecutionEnvironment.createLocalEnvironment(PARALLELISM, configuration(options));
    environment.enableCheckpointing(
        Long.parseLong(options.get("commit-ms")), CheckpointingMode.EXACTLY_ONCE);
    environment.getConfig().enableObjectReuse();
    KeyedStream<Event, String> events =
        environment
            .fromSource(source(options), watermarks(), "events")
            .keyBy(Event::key);
    results(events, options.get("mode")).sinkTo(sink(options));
    JobClient job = environment.executeAsync("windows");
    Progress.awaitCommitted(options);
    Options.say("done");
    job.cancel().get();
    System.exit(0); // the local cluster's threads are no daemons
  }

  private static DataStream<String> results(KeyedStream<Event, String> events, String mode) {
    return switch (mode) {
      case "panes" -> events.process(new Panes());
      case "tumbling" ->
          events
              .window(TumblingEventTimeWindows.of(Duration.ofMillis(HOP_MS)))
              .aggregate(new Aggregation(), new Rows(HOP_MS));
      case "sliding" -> {
        DataStream<String> rows = sliding(events, WINDOWS_MINUTES[0]);
        for (int index = 1; index < WINDOWS_MINUTES.length; index++) {
          rows = rows.union(sliding(events, WINDOWS_MINUTES[index]));
        }
        yield rows;
      }
      default -> throw new IllegalArgumentException("no mode " + mode);
    };
  }

  private static DataStream<String> sliding(KeyedStream<Event, String> events, long minutes) {
    Duration size = Duration.ofMinutes(minutes);
    return events
        .window(SlidingEventTimeWindows.of(size, Duration.ofMillis(HOP_MS)))
        .aggregate(new Aggregation(), new Rows(size.toMillis()));
  }

  static Configuration configuration(Map<String, String> options) {
    Configuration configuration = new Configuration();
    configuration.setString("state.backend.type", "hashmap");
    configuration.setString("execution.checkpointing.storage", "filesystem");
    configuration.setString(
        "execution.checkpointing.dir", "file://" + options.get("state") + "/checkpoints");
    return configuration;
  }

  static KafkaSource<Event> source(Map<String, String> options) {
    return KafkaSource.<Event>builder()
        .setBootstrapServers(options.get("bootstrap"))
        .setTopics(options.get("topic"))
        .setGroupId(options.get("group"))
        .setStartingOffsets(OffsetsInitializer.earliest())
        .setValueOnlyDeserializer(new EventSchema())
        .build();
  }

  private static KafkaSink<String> sink(Map<String, String> options) {
    return KafkaSink.<String>builder()
        .setBootstrapServers(options.get("bootstrap"))
        .setRecordSerializer(
            KafkaRecordSerializationSchema.builder()
                .setTopic(options.get("output"))
                .setValueSerializationSchema(new SimpleStringSchema())
                .build())
        .setDeliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE)
        .setTransactionalIdPrefix(options.get("group"))
        .setProperty("transaction.timeout.ms", "600000")
        .setProperty("compression.type", "snappy")
        .build();
  }

  /** A watermark when time passes a pane's end, in its place among the events. */
  private static WatermarkStrategy<Event> watermarks() {
    return WatermarkStrategy.<Event>forGenerator(
            context ->
                new WatermarkGenerator<Event>() {
                  private long pane = Long.MIN_VALUE;

                  @Override
                  public void onEvent(Event event, long timestamp, WatermarkOutput output) {
                    long now = Math.floorDiv(timestamp, HOP_MS);
                    if (now > pane) {
                      pane = now;
                      output.emitWatermark(new Watermark(now * HOP_MS - 1));
                    }
                  }

                  @Override
                  public void onPeriodicEmit(WatermarkOutput output) {
                    // events alone move time
                  }
                })
        .withTimestampAssigner((event, timestamp) -> event.at());
  }
}
