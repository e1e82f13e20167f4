package peers;

import java.nio.charset.StandardCharsets;
import java.util.Map;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.serialization.SerializationSchema;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.core.execution.CheckpointingMode;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;

/** Counts events per key, exactly once; only the counts of probes are written out, as "key,count". */
public final class Counts {
  private Counts() {}

  public static void main(String[] arguments) throws Exception {
    Map<String, String> options = Options.of(arguments);
    StreamExecutionEnvironment environment =
        StreamExecutionEnvironment.createLocalEnvironment(1, Windows.configuration(options));
    environment.enableCheckpointing(
        Long.parseLong(options.get("commit-ms")), CheckpointingMode.EXACTLY_ONCE);
    environment.setBufferTimeout(0);
    environment
        .fromSource(Windows.source(options), WatermarkStrategy.noWatermarks(), "events")
        .keyBy(Event::key)
        .process(new Count())
        .sinkTo(sink(options));
    environment.execute("counts");
  }

  private static KafkaSink<String> sink(Map<String, String> options) {
    SerializationSchema<String> key = row -> bytes(row.substring(0, row.indexOf(',')));
    SerializationSchema<String> value = row -> bytes(row.substring(row.indexOf(',') + 1));
    return KafkaSink.<String>builder()
        .setBootstrapServers(options.get("bootstrap"))
        .setRecordSerializer(
            KafkaRecordSerializationSchema.<String>builder()
                .setTopic(options.get("output"))
                .setKeySerializationSchema(key)
                .setValueSerializationSchema(value)
                .build())
        .setDeliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE)
        .setTransactionalIdPrefix(options.get("group"))
        .setProperty("transaction.timeout.ms", "600000")
        .build();
  }

  private static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  /** One count per key. */
  private static final class Count extends KeyedProcessFunction<String, Event, String> {
    private static final long serialVersionUID = 1L;

    private transient ValueState<Long> count;

    @Override
    public void open(OpenContext context) {
      count = getRuntimeContext().getState(new ValueStateDescriptor<>("count", Long.class));
    }

    @Override
    public void processElement(Event event, Context context, Collector<String> out)
        throws Exception {
      long now = count.value() == null ? 1 : count.value() + 1;
      count.update(now);
      if (event.key().startsWith("probe")) {
        out.collect(event.key() + "," + now);
      }
    }
  }
}
