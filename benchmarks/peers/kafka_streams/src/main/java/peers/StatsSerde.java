package peers;

import java.nio.ByteBuffer;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.Serializer;

/** Aggregates in 48 bytes. */
final class StatsSerde {
  private static final int BYTES = 48;

  private StatsSerde() {}

  static Serde<Stats> create() {
    Serializer<Stats> to = (topic, stats) -> stats == null ? null : bytes(stats);
    Deserializer<Stats> from = (topic, bytes) -> bytes == null ? null : stats(bytes);
    return Serdes.serdeFrom(to, from);
  }

  private static byte[] bytes(Stats stats) {
    return ByteBuffer.allocate(BYTES)
        .putLong(stats.count)
        .putDouble(stats.sum)
        .putDouble(stats.min)
        .putDouble(stats.max)
        .putDouble(stats.last)
        .putLong(stats.lastAt)
        .array();
  }

  private static Stats stats(byte[] bytes) {
    ByteBuffer buffer = ByteBuffer.wrap(bytes);
    Stats stats = new Stats();
    stats.count = buffer.getLong();
    stats.sum = buffer.getDouble();
    stats.min = buffer.getDouble();
    stats.max = buffer.getDouble();
    stats.last = buffer.getDouble();
    stats.lastAt = buffer.getLong();
    return stats;
  }
}
