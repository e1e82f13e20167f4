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
    return KafkaSink.<String>builder()
        .setBootstrapServers(options.get("bootstrap"))
        .setRecordSerializer(
            KafkaRecordSerializationSchema.<String>builder()
                .setTopic(options.get("output"))
                .setKeySerializationSchema(new Part(0))
                .setValueSerializationSchema(new Part(1))
                .build())
        .setDeliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE)
        .setTransactionalIdPrefix(options.get("group"))
        .setProperty("transaction.timeout.ms", "600000")
        .build();
  }

  /** One part of a row: a class of its own, because Flink looks up the types of a schema. */
  private static final class Part implements SerializationSchema<String> {
    private static final long serialVersionUID = 1L;

    private final int index;

    private Part(int index) {
      this.index = index;
    }

    @Override
    public byte[] serialize(String row) {
      return row.split(",")[index].getBytes(StandardCharsets.UTF_8);
    }
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
