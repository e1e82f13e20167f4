package peers;

/** What six aggregations need: count, sum, mean, min, max and last. */
public final class Stats {
  public long count;
  public double sum;
  public double min = Double.POSITIVE_INFINITY;
  public double max = Double.NEGATIVE_INFINITY;
  public double last;
  public long lastAt = Long.MIN_VALUE;

  /** Count one event. */
  Stats add(Event event) {
    count++;
    sum += event.value();
    min = Math.min(min, event.value());
    max = Math.max(max, event.value());
    if (event.at() >= lastAt) {
      last = event.value();
      lastAt = event.at();
    }
    return this;
  }

  /** Take the other's events in as if they had been added here. */
  Stats merge(Stats other) {
    count += other.count;
    sum += other.sum;
    min = Math.min(min, other.min);
    max = Math.max(max, other.max);
    if (other.lastAt >= lastAt) {
      last = other.last;
      lastAt = other.lastAt;
    }
    return this;
  }

  /** A row of results: key, window in minutes, then the six values. */
  String row(String key, long minutes) {
    return key + "," + minutes + "," + count + "," + sum + "," + sum / count + "," + min + "," + max
        + "," + last;
  }
}
