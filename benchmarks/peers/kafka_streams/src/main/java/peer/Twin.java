package peer;

import java.nio.ByteBuffer;
import java.util.Arrays;

/** A device's newest reading, and which (boot, seq) were seen of it. */
final class Twin {
  long measuredMs, receivedMs, readings, repeats, runStart, runEnd;
  final double[] values = new double[8];
  byte islanded = -1;
  int boot;

  /** Boot, start and end of each run besides the newest one. */
  long[] older = NONE;

  private static final long[] NONE = {};

  /** Whether the number was not seen before; it is from now on. */
  private boolean accept(int b, long seq) {
    if (runEnd == 0) {
      boot = b;
      runStart = seq;
      runEnd = seq + 1;
      return true;
    }
    if (b == boot) {
      if (seq == runEnd) {
        runEnd++;
        return true;
      }
      if (seq >= runStart && seq < runEnd) return false;
      if (seq > runEnd) {
        push(boot, runStart, runEnd);
        runStart = seq;
        runEnd = seq + 1;
        return true;
      }
      return acceptOlder(b, seq);
    }
    for (int i = 0; i < older.length; i += 3) if ((int) older[i] == b) return acceptOlder(b, seq);
    push(boot, runStart, runEnd);
    boot = b;
    runStart = seq;
    runEnd = seq + 1;
    return true;
  }

  private boolean acceptOlder(int b, long seq) {
    for (int i = 0; i < older.length; i += 3)
      if ((int) older[i] == b && seq >= older[i + 1] && seq < older[i + 2]) return false;
    long start = seq, end = seq + 1;
    for (int i = 0; i < older.length; ) { // join neighbours
      if ((int) older[i] == b && (older[i + 2] == start || older[i + 1] == end)) {
        start = Math.min(start, older[i + 1]);
        end = Math.max(end, older[i + 2]);
        drop(i);
      } else i += 3;
    }
    if (b == boot && end == runStart) runStart = start;
    else push(b, start, end);
    return true;
  }

  private void push(int b, long start, long end) {
    older = Arrays.copyOf(older, older.length + 3);
    older[older.length - 3] = b;
    older[older.length - 2] = start;
    older[older.length - 1] = end;
  }

  private void drop(int i) {
    long[] left = new long[older.length - 3];
    System.arraycopy(older, 0, left, 0, i);
    System.arraycopy(older, i + 3, left, i, left.length - i);
    older = left;
  }

  /** Whether the reading is new; the newest becomes the twin's state. */
  boolean apply(Reading r) {
    if (!accept(r.boot, r.seq)) {
      repeats++;
      return false;
    }
    readings++;
    if (r.measuredMs >= measuredMs) {
      measuredMs = r.measuredMs;
      receivedMs = r.receivedMs;
      islanded = r.islanded;
      System.arraycopy(r.powerW, 0, values, 0, 4);
      values[4] = r.soc;
      values[5] = r.hz;
      values[6] = r.volt;
      values[7] = r.temperatureC;
    }
    return true;
  }

  byte[] bytes() {
    ByteBuffer b = ByteBuffer.allocate(6 * 8 + 8 * 8 + 5 + 8 * older.length);
    b.putLong(measuredMs)
        .putLong(receivedMs)
        .putLong(readings)
        .putLong(repeats)
        .putLong(runStart)
        .putLong(runEnd);
    for (double v : values) b.putDouble(v);
    b.put(islanded).putInt(boot);
    for (long v : older) b.putLong(v);
    return b.array();
  }

  static Twin of(byte[] data) {
    Twin t = new Twin();
    ByteBuffer b = ByteBuffer.wrap(data);
    t.measuredMs = b.getLong();
    t.receivedMs = b.getLong();
    t.readings = b.getLong();
    t.repeats = b.getLong();
    t.runStart = b.getLong();
    t.runEnd = b.getLong();
    for (int i = 0; i < 8; i++) t.values[i] = b.getDouble();
    t.islanded = b.get();
    t.boot = b.getInt();
    if (b.remaining() > 0) {
      t.older = new long[b.remaining() / 8];
      for (int i = 0; i < t.older.length; i++) t.older[i] = b.getLong();
    }
    return t;
  }
}
