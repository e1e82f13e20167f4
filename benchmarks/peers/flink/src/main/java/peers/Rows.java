package peers;

import org.apache.flink.streaming.api.functions.windowing.ProcessWindowFunction;
import org.apache.flink.streaming.api.windowing.windows.TimeWindow;
import org.apache.flink.util.Collector;

/** A window's result as a row. */
final class Rows extends ProcessWindowFunction<Stats, String, String, TimeWindow> {
  private static final long serialVersionUID = 1L;
  private static final long MINUTE_MS = 60_000;

  private final long minutes;

  Rows(long sizeMs) {
    minutes = sizeMs / MINUTE_MS;
  }

  @Override
  public void process(String key, Context context, Iterable<Stats> all, Collector<String> out) {
    for (Stats stats : all) {
      out.collect(stats.row(key, minutes) + "," + context.window().getEnd());
    }
  }
}
