package peers;

import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AdminClientConfig;

/** Says when the first event has come and when every record is committed. */
final class Progress {
  private static final AtomicBoolean BEGUN = new AtomicBoolean();
  private static final long POLL_MS = 50;

  private Progress() {}

  static void begun() {
    if (!BEGUN.get() && BEGUN.compareAndSet(false, true)) {
      Options.say("begun");
    }
  }

  /** Wait until the group has committed every record of the topic. */
  static void awaitCommitted(Map<String, String> options)
      throws InterruptedException {
    long records = Long.parseLong(options.get("records"));
    Map<String, Object> where =
        Map.of(AdminClientConfig.BOOTSTRAP_SERVERS_CONFIG, options.get("bootstrap"));
    try (Admin admin = Admin.create(where)) {
      while (committed(admin, options) < records) {
        Thread.sleep(POLL_MS);
      }
    }
  }

  private static long committed(Admin admin, Map<String, String> options)
      throws InterruptedException {
    try {
      return admin
          .listConsumerGroupOffsets(options.get("group"))
          .partitionsToOffsetAndMetadata()
          .get()
          .entrySet()
          .stream()
          .filter(one -> one.getKey().topic().equals(options.get("topic")) && one.getValue() != null)
          .mapToLong(one -> one.getValue().offset())
          .sum();
    } catch (ExecutionException error) {
      return 0; // a new broker has no groups at first
    }
  }
}
