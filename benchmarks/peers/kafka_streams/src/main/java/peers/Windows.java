package peers;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StoreQueryParameters;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KGroupedStream;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.state.QueryableStoreTypes;
import org.apache.kafka.streams.state.ReadOnlyWindowStore;
import org.apache.kafka.streams.state.WindowStore;
import org.apache.kafka.streams.state.WindowStoreIterator;

/**
 * Windowed aggregates per key, exactly once, readable by interactive queries.
 *
 * <p>`hopping`: three hopping windows that advance by five minutes. `panes`: one tumbling window of
 * five minutes, whose panes a read merges into the three windows. Prints `begun` at the first event
 * and `done` when every event is committed; then writes every value as of the end of the run.
 */
public final class Windows {
  private static final Duration HOP = Duration.ofMinutes(5);
  private static final long[] WINDOWS_MINUTES = {60, 360, 1440};
  private static final Duration RETENTION = Duration.ofHours(26);

  private Windows() {}

  public static void main(String[] arguments) throws Exception {
    Map<String, String> options = Options.of(arguments);
    boolean hopping = options.get("mode").equals("hopping");
    StreamsBuilder builder = new StreamsBuilder();
    KStream<String, Event> events =
        builder.stream(
            options.get("topic"),
            Consumed.with(Serdes.String(), eventSerde())
                .withTimestampExtractor((record, partition) -> ((Event) record.value()).at()));
    KGroupedStream<String, Event> grouped =
        events.peek((key, event) -> Progress.begun()).groupByKey(Grouped.with(Serdes.String(), eventSerde()));
    if (hopping) {
      for (long minutes : WINDOWS_MINUTES) {
        aggregate(grouped, Duration.ofMinutes(minutes), "w" + minutes);
      }
    } else {
      aggregate(grouped, HOP, "panes");
    }
    try (KafkaStreams streams = new KafkaStreams(builder.build(), settings(options))) {
      streams.start();
      Progress.awaitCommitted(options);
      Options.say("done");
      write(streams, hopping, options);
      Options.say("written");
    }
  }

  private static void aggregate(KGroupedStream<String, Event> grouped, Duration size, String store) {
    Duration grace = RETENTION.minus(Duration.ofHours(24));
    grouped
        .windowedBy(TimeWindows.ofSizeAndGrace(size, grace).advanceBy(HOP))
        .aggregate(
            Stats::new,
            (key, event, stats) -> stats.add(event),
            Materialized.<String, Stats, WindowStore<Bytes, byte[]>>as(store)
                .withKeySerde(Serdes.String())
                .withValueSerde(StatsSerde.create())
                .withRetention(RETENTION));
  }

  private static Serde<Event> eventSerde() {
    return Serdes.serdeFrom(
        (topic, event) -> {
          throw new UnsupportedOperationException("events are only read");
        },
        (topic, bytes) -> Event.parse(bytes));
  }

  private static Properties settings(Map<String, String> options) {
    Properties settings = new Properties();
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, options.get("group"));
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, options.get("bootstrap"));
    settings.put(StreamsConfig.STATE_DIR_CONFIG, options.get("state"));
    settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
    settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, options.get("commit-ms"));
    settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 2);
    settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 512L * 1024 * 1024);
    settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
    settings.put(StreamsConfig.producerPrefix("compression.type"), "snappy");
    return settings;
  }

  private static void write(KafkaStreams streams, boolean hopping, Map<String, String> options)
      throws IOException {
    long end = Long.parseLong(options.get("end-ms"));
    int keys = Integer.parseInt(options.get("keys"));
    try (PrintWriter out =
        new PrintWriter(Files.newBufferedWriter(Path.of(options.get("results"))))) {
      for (long minutes : WINDOWS_MINUTES) {
        ReadOnlyWindowStore<String, Stats> store =
            streams.store(
                StoreQueryParameters.fromNameAndType(
                    hopping ? "w" + minutes : "panes", QueryableStoreTypes.windowStore()));
        long start = end - Duration.ofMinutes(minutes).toMillis();
        for (int number = 0; number < keys; number++) {
          String key = "k" + number;
          Stats stats = hopping ? store.fetch(key, start) : merged(store, key, start, end);
          if (stats != null && stats.count > 0) {
            out.println(stats.row(key, minutes));
          }
        }
      }
    }
  }

  private static Stats merged(
      ReadOnlyWindowStore<String, Stats> store, String key, long start, long end) {
    Stats merged = new Stats();
    try (WindowStoreIterator<Stats> panes =
        store.fetch(key, Instant.ofEpochMilli(start), Instant.ofEpochMilli(end - 1))) {
      panes.forEachRemaining(pane -> merged.merge(pane.value));
    }
    return merged;
  }
}
