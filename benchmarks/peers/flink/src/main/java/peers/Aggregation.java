package peers;

import org.apache.flink.api.common.functions.AggregateFunction;

/** The six aggregations as one accumulator. */
final class Aggregation implements AggregateFunction<Event, Stats, Stats> {
  private static final long serialVersionUID = 1L;

  @Override
  public Stats createAccumulator() {
    return new Stats();
  }

  @Override
  public Stats add(Event event, Stats stats) {
    return stats.add(event);
  }

  @Override
  public Stats getResult(Stats stats) {
    return stats;
  }

  @Override
  public Stats merge(Stats one, Stats other) {
    return one.merge(other);
  }
}
