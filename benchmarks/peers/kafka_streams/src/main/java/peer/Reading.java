package peer;

/** One reading as parsed; NaN = not measured. One object is used again for every line. */
final class Reading {
  private static final long EARLIEST_MS = 946_684_800_000L;
  private static final long MAX_AHEAD_MS = 600_000;
  private static final long MAX_INTERVAL_MS = 86_400_000;
  private static final double MAX_W = 1e9;
  private static final double TOLERANCE_W = 50;
  private static final double TOLERANCE = 0.05;

  String device;
  Registry.Site site;
  int boot;
  boolean bootReadable;
  long seq;
  long receivedMs;
  long measuredMs;
  long intervalMs;

  /** Battery, grid, solar, load. */
  final double[] powerW = new double[4];

  double soc;
  double hz;
  double volt;
  double temperatureC;
  byte islanded;

  void clear() {
    device = null;
    site = null;
    boot = 0;
    bootReadable = true;
    seq = receivedMs = measuredMs = -1;
    intervalMs = 1000;
    java.util.Arrays.fill(powerW, Double.NaN);
    soc = hz = volt = temperatureC = Double.NaN;
    islanded = -1;
  }

  /** The rules of a plain line of vpp_streams: each value in its range, the powers in balance. */
  boolean isPlain() {
    return isNamed() && isInRange() && isBalanced();
  }

  private boolean isNamed() {
    return device != null && site != null && bootReadable && receivedMs >= 0 && seq >= 0;
  }

  private boolean isInRange() {
    return measuredMs >= EARLIEST_MS
        && measuredMs - receivedMs <= MAX_AHEAD_MS
        && intervalMs > 0
        && intervalMs <= MAX_INTERVAL_MS
        && in(powerW[0], -MAX_W, MAX_W)
        && in(powerW[1], -MAX_W, MAX_W)
        && in(powerW[2], 0, MAX_W)
        && in(powerW[3], 0, MAX_W)
        && in(soc, 0, 1)
        && in(hz, 30, 80)
        && in(volt, 20, 50_000)
        && in(temperatureC, -60, 150);
  }

  private static boolean in(double value, double low, double high) {
    return !(value < low || value > high); // NaN is in every range
  }

  private boolean isBalanced() {
    double battery = powerW[0], grid = powerW[1], solar = powerW[2], load = powerW[3];
    boolean source = battery == battery || grid == grid || solar == solar;
    if (load != load) {
      return !source && soc == soc; // with a source the load would have to be computed
    }
    double errorW = Math.abs(load - (grid + battery + solar));
    if (!(errorW > TOLERANCE_W)) {
      return true;
    }
    double largestW = 0;
    for (double w : powerW) {
      largestW = Math.max(largestW, Math.abs(w));
    }
    return errorW <= TOLERANCE * largestW;
  }
}
