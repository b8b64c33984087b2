package peer;

import com.fasterxml.jackson.core.*;
import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;

/** The accumulators of a site's window; powers in the order battery, grid, solar, load. */
final class SiteWindow {
  static final String[] POWERS = {"battery", "grid", "solar", "load"};
  static final int BYTES = 4 + 8 + 4 * 40 + 48;
  int readings;
  long covered;
  final double[] pos = new double[4], neg = new double[4], min = new double[4], max = new double[4];
  final long[] ms = new long[4];
  double socFirst = Double.NaN, socLast = Double.NaN, socMin = Double.NaN, socMax = Double.NaN;
  long socFirstMs, socLastMs;

  void add(double[] power, double soc, long at, long dt, boolean startsHere) {
    if (startsHere) readings++;
    covered += dt;
    for (int i = 0; i < 4; i++) {
      double w = power[i];
      if (w != w) continue;
      double e = w * dt;
      if (e > 0) pos[i] += e;
      else neg[i] -= e;
      if (ms[i] == 0) {
        min[i] = max[i] = w;
      } else {
        if (w < min[i]) min[i] = w;
        if (w > max[i]) max[i] = w;
      }
      ms[i] += dt;
    }
    if (soc == soc) soc(soc, at, soc, at, soc, soc);
  }

  private void soc(double first, long firstMs, double last, long lastMs, double low, double high) {
    if (socFirst != socFirst) {
      socFirst = first;
      socFirstMs = firstMs;
      socLast = last;
      socLastMs = lastMs;
      socMin = low;
      socMax = high;
      return;
    }
    if (firstMs < socFirstMs) {
      socFirst = first;
      socFirstMs = firstMs;
    }
    if (lastMs >= socLastMs) {
      socLast = last;
      socLastMs = lastMs;
    }
    if (low < socMin) socMin = low;
    if (high > socMax) socMax = high;
  }

  void merge(SiteWindow w) {
    readings += w.readings;
    covered += w.covered;
    for (int i = 0; i < 4; i++) {
      if (w.ms[i] == 0) continue;
      if (ms[i] == 0) {
        min[i] = w.min[i];
        max[i] = w.max[i];
      } else {
        min[i] = Math.min(min[i], w.min[i]);
        max[i] = Math.max(max[i], w.max[i]);
      }
      pos[i] += w.pos[i];
      neg[i] += w.neg[i];
      ms[i] += w.ms[i];
    }
    if (w.socFirst == w.socFirst)
      soc(w.socFirst, w.socFirstMs, w.socLast, w.socLastMs, w.socMin, w.socMax);
  }

  byte[] bytes() {
    ByteBuffer b = ByteBuffer.allocate(BYTES);
    b.putInt(readings).putLong(covered);
    for (int i = 0; i < 4; i++)
      b.putDouble(pos[i]).putDouble(neg[i]).putDouble(min[i]).putDouble(max[i]).putLong(ms[i]);
    b.putDouble(socFirst)
        .putDouble(socLast)
        .putDouble(socMin)
        .putDouble(socMax)
        .putLong(socFirstMs)
        .putLong(socLastMs);
    return b.array();
  }

  static SiteWindow of(byte[] data) {
    SiteWindow w = new SiteWindow();
    ByteBuffer b = ByteBuffer.wrap(data);
    w.readings = b.getInt();
    w.covered = b.getLong();
    for (int i = 0; i < 4; i++) {
      w.pos[i] = b.getDouble();
      w.neg[i] = b.getDouble();
      w.min[i] = b.getDouble();
      w.max[i] = b.getDouble();
      w.ms[i] = b.getLong();
    }
    w.socFirst = b.getDouble();
    w.socLast = b.getDouble();
    w.socMin = b.getDouble();
    w.socMax = b.getDouble();
    w.socFirstMs = b.getLong();
    w.socLastMs = b.getLong();
    return w;
  }

  static final JsonFactory OUT =
      JsonFactory.builder().enable(StreamWriteFeature.USE_FAST_DOUBLE_WRITER).build();

  /** The same document as topic site.windows has. */
  byte[] json(Registry.Site site, long start, long size) {
    ByteArrayOutputStream out = new ByteArrayOutputStream(900);
    try (JsonGenerator g = OUT.createGenerator(out)) {
      g.writeStartObject();
      g.writeStringField("window_id", site.id() + "|" + size / 1000 + "|" + start);
      g.writeStringField("site_id", site.id());
      g.writeStringField("region", site.region());
      g.writeNumberField("start_ms", start);
      g.writeNumberField("size_s", size / 1000);
      g.writeNumberField("revision", 0);
      g.writeNumberField("readings", readings);
      g.writeNumberField("coverage", Math.min(covered, size) / (double) size);
      for (int i = 0; i < 4; i++) {
        if (ms[i] == 0) continue;
        g.writeObjectFieldStart(POWERS[i]);
        double p = pos[i] / 3_600_000.0, n = neg[i] / 3_600_000.0;
        g.writeNumberField("energy_wh", p - n);
        g.writeNumberField("positive_wh", p);
        g.writeNumberField("negative_wh", n);
        g.writeNumberField("mean_w", (pos[i] - neg[i]) / ms[i]);
        g.writeNumberField("min_w", min[i]);
        g.writeNumberField("max_w", max[i]);
        g.writeEndObject();
      }
      if (socFirst == socFirst) {
        g.writeObjectFieldStart("soc");
        g.writeNumberField("first", socFirst);
        g.writeNumberField("last", socLast);
        g.writeNumberField("min", socMin);
        g.writeNumberField("max", socMax);
        g.writeEndObject();
      }
      g.writeEndObject();
    } catch (java.io.IOException e) {
      throw new java.io.UncheckedIOException(e);
    }
    return out.toByteArray();
  }
}
