package peers;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.MapState;
import org.apache.flink.api.common.state.MapStateDescriptor;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;

/** Five-minute panes per key; at each pane's end they are merged into the three windows. */
final class Panes extends KeyedProcessFunction<String, Event, String> {
  private static final long serialVersionUID = 1L;
  private static final long MINUTE_MS = 60_000;

  private transient MapState<Long, Stats> panes;

  @Override
  public void open(OpenContext context) {
    panes =
        getRuntimeContext()
            .getMapState(new MapStateDescriptor<>("panes", Long.class, Stats.class));
  }

  @Override
  public void processElement(Event event, Context context, Collector<String> out)
      throws Exception {
    long end = (Math.floorDiv(event.at(), Windows.HOP_MS) + 1) * Windows.HOP_MS;
    Stats pane = panes.get(end);
    if (pane == null) {
      pane = new Stats();
      context.timerService().registerEventTimeTimer(end - 1);
    }
    panes.put(end, pane.add(event));
  }

  @Override
  public void onTimer(long last, OnTimerContext context, Collector<String> out) throws Exception {
    long end = last + 1;
    long[] minutes = Windows.WINDOWS_MINUTES;
    Stats[] merged = new Stats[minutes.length];
    List<Long> old = new ArrayList<>();
    for (Map.Entry<Long, Stats> pane : panes.entries()) {
      merge(merged, pane, end, old);
    }
    for (Long pane : old) {
      panes.remove(pane);
    }
    for (int index = 0; index < minutes.length; index++) {
      if (merged[index] != null) {
        out.collect(merged[index].row(context.getCurrentKey(), minutes[index]) + "," + end);
      }
    }
    if (merged[minutes.length - 1] != null) {
      context.timerService().registerEventTimeTimer(last + Windows.HOP_MS);
    }
  }

  private static void merge(
      Stats[] merged, Map.Entry<Long, Stats> pane, long end, List<Long> old) {
    boolean used = false;
    for (int index = 0; index < merged.length; index++) {
      long oldest = end - Windows.WINDOWS_MINUTES[index] * MINUTE_MS;
      if (pane.getKey() > oldest && pane.getKey() <= end) {
        used = true;
        merged[index] = merged[index] == null ? new Stats() : merged[index];
        merged[index].merge(pane.getValue());
      }
    }
    if (!used && pane.getKey() < end) {
      old.add(pane.getKey());
    }
  }
}
