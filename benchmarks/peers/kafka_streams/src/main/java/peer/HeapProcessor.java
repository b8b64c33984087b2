package peer;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import java.util.TreeMap;
import org.apache.kafka.streams.processor.api.ProcessorContext;

/** What an expert builds: state as objects on the heap, its changes in a changelog. */
final class HeapProcessor extends FrameProcessor {
  static final String TWINS = "twins";
  static final String WINDOWS = "windows";

  /** A device: its twin, and the newest open minute of its site. */
  static final class Device {
    final String id;
    final Twin twin;
    int savedIn = -1;
    SiteState site;

    Device(String id, Twin twin) {
      this.id = id;
      this.twin = twin;
    }
  }

  /** A site's newest open minute, so that most readings need no look-up. */
  private static final class SiteState {
    final Registry.Site site;
    OpenWindow newest;

    SiteState(Registry.Site site) {
      this.site = site;
    }
  }

  /** A site's window of one size that is open. */
  static final class OpenWindow {
    final Registry.Site site;
    final long sizeMs;
    final long startMs;
    final String key;
    final SiteWindow sums;
    int savedIn = -1;

    OpenWindow(Registry.Site site, long sizeMs, long startMs, SiteWindow sums) {
      this.site = site;
      this.sizeMs = sizeMs;
      this.startMs = startMs;
      this.key = site.id() + "|" + sizeMs + "|" + startMs;
      this.sums = sums;
    }

    byte[] bytes() {
      byte[] siteId = site.key();
      byte[] sumBytes = sums.bytes();
      return ByteBuffer.allocate(20 + siteId.length + sumBytes.length)
          .putInt(siteId.length)
          .putLong(sizeMs)
          .putLong(startMs)
          .put(siteId)
          .put(sumBytes)
          .array();
    }

    static OpenWindow of(byte[] data, Registry registry) {
      ByteBuffer buffer = ByteBuffer.wrap(data);
      byte[] siteId = new byte[buffer.getInt()];
      long sizeMs = buffer.getLong();
      long startMs = buffer.getLong();
      buffer.get(siteId);
      byte[] sums = new byte[buffer.remaining()];
      buffer.get(sums);
      Registry.Site site = registry.site(new String(siteId, StandardCharsets.UTF_8));
      return new OpenWindow(site, sizeMs, startMs, SiteWindow.of(sums));
    }
  }

  private HeapStore<Device> twins;
  private HeapStore<OpenWindow> windows;
  private final Map<String, SiteState> sites = new HashMap<>();
  private final TreeMap<Long, HashMap<String, OpenWindow>> minutes = new TreeMap<>();
  private final TreeMap<Long, HashMap<String, OpenWindow>> quarters = new TreeMap<>();

  HeapProcessor(Registry registry) {
    super(registry);
  }

  @Override
  public void init(ProcessorContext<byte[], byte[]> context) {
    super.init(context);
    twins = context.getStateStore(TWINS);
    windows = context.getStateStore(WINDOWS);
    for (OpenWindow window : windows.values.values()) { // what was restored
      (window.sizeMs == MINUTE_MS ? minutes : quarters)
          .computeIfAbsent(window.startMs, start -> new HashMap<>())
          .put(window.site.id(), window);
    }
    setNextClose();
  }

  @Override
  protected Verdict apply(Reading reading) {
    Device device = twins.values.get(reading.device);
    if (device == null) {
      device = new Device(reading.device, new Twin());
      twins.values.put(device.id, device);
    }
    if (device.site == null) {
      Registry.Site site = reading.site;
      device.site = sites.computeIfAbsent(site.id(), id -> new SiteState(site));
    }
    boolean fresh = device.twin.apply(reading);
    if (device.savedIn != twins.commits) {
      device.savedIn = twins.commits;
      twins.changed(device.id, device);
    }
    if (!fresh) {
      return Verdict.REPEAT;
    }
    long startMs = reading.measuredMs - reading.measuredMs % MINUTE_MS;
    long endMs = reading.measuredMs + reading.intervalMs;
    long firstMs = Math.min(endMs, startMs + MINUTE_MS) - reading.measuredMs;
    boolean inTime = add(device.site, startMs, reading, firstMs, true);
    for (long s = startMs + MINUTE_MS; s < endMs; s += MINUTE_MS) {
      inTime &= add(device.site, s, reading, Math.min(endMs - s, MINUTE_MS), false);
    }
    return inTime ? Verdict.COUNTED : Verdict.LATE;
  }

  private boolean add(SiteState site, long startMs, Reading reading, long ms, boolean startsHere) {
    if (startMs + MINUTE_MS <= watermarkMs) {
      return false;
    }
    OpenWindow window = site.newest;
    if (window == null || window.startMs != startMs) {
      window = open(minutes, site.site, MINUTE_MS, startMs);
      nextCloseMs = Math.min(nextCloseMs, startMs + MINUTE_MS);
      if (site.newest == null || startMs > site.newest.startMs) {
        site.newest = window;
      }
    }
    window.sums.add(reading.powerW, reading.soc, reading.measuredMs, ms, startsHere);
    changed(window);
    return true;
  }

  private OpenWindow open(
      TreeMap<Long, HashMap<String, OpenWindow>> all,
      Registry.Site site,
      long sizeMs,
      long startMs) {
    return all.computeIfAbsent(startMs, start -> new HashMap<>())
        .computeIfAbsent(
            site.id(),
            id -> {
              OpenWindow window = new OpenWindow(site, sizeMs, startMs, new SiteWindow());
              windows.values.put(window.key, window);
              return window;
            });
  }

  private void changed(OpenWindow window) {
    if (window.savedIn != windows.commits) {
      window.savedIn = windows.commits;
      windows.changed(window.key, window);
    }
  }

  @Override
  protected void closeWindows() {
    while (!minutes.isEmpty() && minutes.firstKey() + MINUTE_MS <= watermarkMs) {
      for (OpenWindow minute : minutes.pollFirstEntry().getValue().values()) {
        long quarterMs = minute.startMs - minute.startMs % QUARTER_MS;
        OpenWindow quarter = open(quarters, minute.site, QUARTER_MS, quarterMs);
        quarter.sums.merge(minute.sums);
        changed(quarter);
        close(minute);
      }
    }
    while (!quarters.isEmpty() && quarters.firstKey() + QUARTER_MS <= watermarkMs) {
      quarters.pollFirstEntry().getValue().values().forEach(this::close);
    }
    setNextClose();
  }

  private void close(OpenWindow window) {
    publish(window.site, window.sums, window.startMs, window.sizeMs);
    windows.delete(window.key);
  }

  private void setNextClose() {
    nextCloseMs = minutes.isEmpty() ? Long.MAX_VALUE : minutes.firstKey() + MINUTE_MS;
    if (!quarters.isEmpty()) {
      nextCloseMs = Math.min(nextCloseMs, quarters.firstKey() + QUARTER_MS);
    }
  }
}
