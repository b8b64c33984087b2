package peer;

import java.util.Arrays;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;

/** Raw frames in; closed windows and refused lines out. Time is the newest measured time. */
abstract class FrameProcessor
    implements Processor<byte[], byte[], byte[], byte[]>, LineParser.Sink {
  static final long MINUTE_MS = 60_000;
  static final long QUARTER_MS = 900_000;
  static final long LATENESS_MS = 5_000;

  protected final Registry registry;
  protected ProcessorContext<byte[], byte[]> context;
  protected long watermarkMs;
  protected long nextCloseMs = Long.MAX_VALUE;
  private final LineParser parser;
  private long readings;
  private long repeats;
  private long rejected;
  private long late;
  private long recordTimeMs;
  private long newestMs;

  FrameProcessor(Registry registry) {
    this.registry = registry;
    this.parser = new LineParser(registry);
  }

  /** The outcome of a reading. */
  enum Verdict {
    COUNTED,
    REPEAT,
    /** It is new, but its window was closed. */
    LATE
  }

  @Override
  public void init(ProcessorContext<byte[], byte[]> context) {
    this.context = context;
  }

  @Override
  public void process(Record<byte[], byte[]> record) {
    readings = repeats = rejected = late = 0;
    recordTimeMs = record.timestamp();
    parser.frame(record.value(), this);
    // A frame is applied as a whole: none of its readings is late because of another.
    watermarkMs = Math.max(watermarkMs, newestMs - LATENESS_MS);
    Counters.readings.add(readings);
    Counters.repeats.add(repeats);
    Counters.rejected.add(rejected);
    Counters.late.add(late);
    if (watermarkMs >= nextCloseMs) {
      closeWindows();
    }
  }

  @Override
  public void reading(Reading reading) {
    readings++;
    switch (apply(reading)) {
      case REPEAT -> repeats++;
      case LATE -> late++;
      case COUNTED -> {}
    }
    // A device clock that runs ahead must not close windows early.
    newestMs = Math.max(newestMs, Math.min(reading.measuredMs, reading.receivedMs));
  }

  @Override
  public void rejected(byte[] frame, int from, int to) {
    readings++;
    rejected++;
    byte[] line = Arrays.copyOfRange(frame, from, to);
    context.forward(new Record<>(null, line, recordTimeMs), "rejected");
  }

  protected void publish(Registry.Site site, SiteWindow window, long startMs, long sizeMs) {
    byte[] json = window.json(site, startMs, sizeMs);
    context.forward(new Record<>(site.key(), json, startMs + sizeMs), "windows");
    Counters.windows.increment();
  }

  protected abstract Verdict apply(Reading reading);

  /** Publish the windows that the watermark has passed, and set {@link #nextCloseMs}. */
  protected abstract void closeWindows();
}
