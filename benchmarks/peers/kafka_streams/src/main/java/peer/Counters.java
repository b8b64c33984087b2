package peer;

import java.util.concurrent.atomic.LongAdder;

/** Counters of the process, which all threads of Streams add to. */
final class Counters {
  static final LongAdder readings = new LongAdder();
  static final LongAdder repeats = new LongAdder();
  static final LongAdder rejected = new LongAdder();
  static final LongAdder late = new LongAdder();
  static final LongAdder windows = new LongAdder();

  private Counters() {}
}
