package peer;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;

/** What the manual suggests: the stores of Streams (RocksDB) with its record cache. */
final class StoreProcessor extends FrameProcessor {
  private KeyValueStore<String, Twin> twins;
  private KeyValueStore<Bytes, SiteWindow> windows;
  private long nextMinuteMs = Long.MAX_VALUE;
  private long nextQuarterMs = Long.MAX_VALUE;

  StoreProcessor(Registry registry) {
    super(registry);
  }

  @Override
  public void init(ProcessorContext<byte[], byte[]> context) {
    super.init(context);
    twins = context.getStateStore("twins");
    windows = context.getStateStore("windows");
    try (KeyValueIterator<Bytes, SiteWindow> all = windows.all()) { // what was restored
      while (all.hasNext()) {
        ByteBuffer key = ByteBuffer.wrap(all.next().key.get());
        long sizeMs = key.getInt();
        long endMs = key.getLong() + sizeMs;
        if (sizeMs == MINUTE_MS) {
          nextMinuteMs = Math.min(nextMinuteMs, endMs);
        } else {
          nextQuarterMs = Math.min(nextQuarterMs, endMs);
        }
      }
    }
    nextCloseMs = Math.min(nextMinuteMs, nextQuarterMs);
  }

  /** Windows of one size and start are neighbours, so that a range holds what closes. */
  private static Bytes key(long sizeMs, long startMs, byte[] site) {
    ByteBuffer key = ByteBuffer.allocate(12 + site.length);
    return Bytes.wrap(key.putInt((int) sizeMs).putLong(startMs).put(site).array());
  }

  private Registry.Site site(Bytes key) {
    byte[] bytes = key.get();
    return registry.site(new String(bytes, 12, bytes.length - 12, StandardCharsets.UTF_8));
  }

  @Override
  protected Verdict apply(Reading reading) {
    Twin twin = twins.get(reading.device);
    if (twin == null) {
      twin = new Twin();
    }
    boolean fresh = twin.apply(reading);
    twins.put(reading.device, twin);
    if (!fresh) {
      return Verdict.REPEAT;
    }
    long startMs = reading.measuredMs - reading.measuredMs % MINUTE_MS;
    long endMs = reading.measuredMs + reading.intervalMs;
    long firstMs = Math.min(endMs, startMs + MINUTE_MS) - reading.measuredMs;
    boolean inTime = add(startMs, reading, firstMs, true);
    for (long s = startMs + MINUTE_MS; s < endMs; s += MINUTE_MS) {
      inTime &= add(s, reading, Math.min(endMs - s, MINUTE_MS), false);
    }
    return inTime ? Verdict.COUNTED : Verdict.LATE;
  }

  private boolean add(long startMs, Reading reading, long ms, boolean startsHere) {
    if (startMs + MINUTE_MS <= watermarkMs) {
      return false;
    }
    if (startMs + MINUTE_MS < nextMinuteMs) {
      nextMinuteMs = startMs + MINUTE_MS;
      nextCloseMs = Math.min(nextMinuteMs, nextQuarterMs);
    }
    Bytes key = key(MINUTE_MS, startMs, reading.site.key());
    SiteWindow window = windows.get(key);
    if (window == null) {
      window = new SiteWindow();
    }
    window.add(reading.powerW, reading.soc, reading.measuredMs, ms, startsHere);
    windows.put(key, window);
    return true;
  }

  private List<KeyValue<Bytes, SiteWindow>> windowsOf(long sizeMs, long startMs) {
    List<KeyValue<Bytes, SiteWindow>> found = new ArrayList<>();
    Bytes from = key(sizeMs, startMs, new byte[0]);
    Bytes to = key(sizeMs, startMs + 1, new byte[0]);
    try (KeyValueIterator<Bytes, SiteWindow> range = windows.range(from, to)) {
      range.forEachRemaining(found::add);
    }
    return found;
  }

  @Override
  protected void closeWindows() {
    for (; nextMinuteMs <= watermarkMs; nextMinuteMs += MINUTE_MS) {
      long startMs = nextMinuteMs - MINUTE_MS;
      long quarterMs = startMs - startMs % QUARTER_MS;
      for (KeyValue<Bytes, SiteWindow> minute : windowsOf(MINUTE_MS, startMs)) {
        Registry.Site site = site(minute.key);
        Bytes quarterKey = key(QUARTER_MS, quarterMs, site.key());
        SiteWindow quarter = windows.get(quarterKey);
        if (quarter == null) {
          quarter = new SiteWindow();
        }
        quarter.merge(minute.value);
        windows.put(quarterKey, quarter);
        publish(site, minute.value, startMs, MINUTE_MS);
        windows.delete(minute.key);
      }
      nextQuarterMs = Math.min(nextQuarterMs, quarterMs + QUARTER_MS);
    }
    for (; nextQuarterMs <= watermarkMs; nextQuarterMs += QUARTER_MS) {
      long startMs = nextQuarterMs - QUARTER_MS;
      for (KeyValue<Bytes, SiteWindow> quarter : windowsOf(QUARTER_MS, startMs)) {
        publish(site(quarter.key), quarter.value, startMs, QUARTER_MS);
        windows.delete(quarter.key);
      }
    }
    nextCloseMs = Math.min(nextMinuteMs, nextQuarterMs);
  }
}
