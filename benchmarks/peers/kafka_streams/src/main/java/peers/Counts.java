package peers;

import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Produced;

/** Counts events per key, exactly once; only the counts of probes are written out. */
public final class Counts {
  private Counts() {}

  public static void main(String[] arguments) throws InterruptedException {
    Map<String, String> options = Options.of(arguments);
    StreamsBuilder builder = new StreamsBuilder();
    builder.stream(options.get("topic"), Consumed.with(Serdes.String(), Serdes.ByteArray()))
        .mapValues(Event::parse)
        .groupByKey(Grouped.with(Serdes.String(), null))
        .count()
        .toStream()
        .filter((key, count) -> key.startsWith("probe"))
        .mapValues(String::valueOf)
        .to(options.get("output"), Produced.with(Serdes.String(), Serdes.String()));
    KafkaStreams streams = new KafkaStreams(builder.build(), settings(options));
    Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
    streams.start();
    new CountDownLatch(1).await(); // until it is told to end
  }

  private static Properties settings(Map<String, String> options) {
    Properties settings = new Properties();
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, options.get("group"));
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, options.get("bootstrap"));
    settings.put(StreamsConfig.STATE_DIR_CONFIG, options.get("state"));
    settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
    settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, options.get("commit-ms"));
    settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
    settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
    settings.put(StreamsConfig.producerPrefix("linger.ms"), 0);
    return settings;
  }
}
