package peer;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.Suppressed;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.processor.api.FixedKeyProcessor;
import org.apache.kafka.streams.processor.api.FixedKeyProcessorContext;
import org.apache.kafka.streams.processor.api.FixedKeyRecord;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;
import org.apache.kafka.streams.state.WindowBytesStoreSupplier;

/** The tutorial's version: one reading a record, keyed by site; windows by `windowedBy`. */
final class Dsl {
  private static final String TWINS = "twins";

  private Dsl() {}

  /** The part of a reading that lies in one minute. */
  private record Share(double[] powerW, double soc, long atMs, long ms, boolean startsHere) {}

  /** Readings to shares, without repeats. */
  private static final class Dedupe
      implements FixedKeyProcessor<byte[], byte[], Share>, LineParser.Sink {
    private final LineParser parser;
    private FixedKeyProcessorContext<byte[], Share> context;
    private FixedKeyRecord<byte[], byte[]> record;
    private KeyValueStore<String, Twin> twins;

    Dedupe(Registry registry) {
      parser = new LineParser(registry);
    }

    @Override
    public void init(FixedKeyProcessorContext<byte[], Share> context) {
      this.context = context;
      twins = context.getStateStore(TWINS);
    }

    @Override
    public void process(FixedKeyRecord<byte[], byte[]> record) {
      this.record = record;
      parser.frame(record.value(), this);
    }

    @Override
    public void rejected(byte[] frame, int from, int to) {
      Counters.readings.increment();
      Counters.rejected.increment();
    }

    @Override
    public void reading(Reading reading) {
      Counters.readings.increment();
      Twin twin = twins.get(reading.device);
      if (twin == null) {
        twin = new Twin();
      }
      boolean fresh = twin.apply(reading);
      twins.put(reading.device, twin);
      if (!fresh) {
        Counters.repeats.increment();
        return;
      }
      long minuteMs = FrameProcessor.MINUTE_MS;
      long startMs = reading.measuredMs - reading.measuredMs % minuteMs;
      long endMs = reading.measuredMs + reading.intervalMs;
      forward(reading, reading.measuredMs, Math.min(endMs, startMs + minuteMs), true);
      for (long s = startMs + minuteMs; s < endMs; s += minuteMs) {
        forward(reading, s, Math.min(endMs, s + minuteMs), false);
      }
    }

    private void forward(Reading reading, long fromMs, long toMs, boolean startsHere) {
      double[] powerW = reading.powerW.clone();
      Share share = new Share(powerW, reading.soc, reading.measuredMs, toMs - fromMs, startsHere);
      context.forward(record.withValue(share).withTimestamp(fromMs));
    }
  }

  static void build(StreamsBuilder builder, Registry registry, Options options) {
    builder.addStateStore(Topologies.rocksTwins(TWINS));
    KStream<byte[], Share> shares =
        builder.stream(options.input, Consumed.with(Serdes.ByteArray(), Serdes.ByteArray()))
            .processValues(() -> new Dedupe(registry), TWINS);
    for (long sizeMs : new long[] {FrameProcessor.MINUTE_MS, FrameProcessor.QUARTER_MS}) {
      windows(shares, registry, sizeMs)
          .to(options.output, Produced.with(Serdes.ByteArray(), Serdes.ByteArray()));
    }
  }

  private static KStream<byte[], byte[]> windows(
      KStream<byte[], Share> shares, Registry registry, long sizeMs) {
    Duration size = Duration.ofMillis(sizeMs);
    WindowBytesStoreSupplier store =
        Stores.persistentWindowStore(
            "windows" + sizeMs / 1000, size.multipliedBy(2).plusMinutes(1), size, false);
    return shares
        .groupByKey(Grouped.with(Serdes.ByteArray(), null))
        .windowedBy(TimeWindows.ofSizeAndGrace(size, Duration.ofMillis(FrameProcessor.LATENESS_MS)))
        .aggregate(
            SiteWindow::new,
            (site, share, window) -> {
              window.add(share.powerW, share.soc, share.atMs, share.ms, share.startsHere);
              return window;
            },
            Materialized.<byte[], SiteWindow>as(store)
                .withKeySerde(Serdes.ByteArray())
                .withValueSerde(Topologies.SITE_WINDOW)
                .withCachingEnabled())
        .suppress(Suppressed.untilWindowCloses(Suppressed.BufferConfig.unbounded()))
        .toStream()
        .map(
            (key, window) -> {
              Counters.windows.increment();
              Registry.Site site = registry.site(new String(key.key(), StandardCharsets.UTF_8));
              return KeyValue.pair(key.key(), window.json(site, key.window().start(), sizeMs));
            });
  }
}
