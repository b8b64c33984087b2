package peer;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadFeature;
import java.io.IOException;

/** NDJSON lines to readings: Jackson's streaming parser, one for a complete frame. */
final class LineParser {
  /** What receives the lines of a frame. */
  interface Sink {
    /** A reading; the object is used again for the next one. */
    void reading(Reading reading);

    void rejected(byte[] frame, int from, int to);
  }

  private static final JsonFactory JSON =
      JsonFactory.builder()
          .enable(StreamReadFeature.USE_FAST_DOUBLE_PARSER)
          .disable(StreamReadFeature.AUTO_CLOSE_SOURCE)
          .disable(JsonFactory.Feature.INTERN_FIELD_NAMES)
          .build();

  private final Registry registry;
  private final Reading reading = new Reading();

  LineParser(Registry registry) {
    this.registry = registry;
  }

  /** Hand every line of a frame to the sink; never throws, whatever the bytes. */
  void frame(byte[] frame, Sink sink) {
    int done = 0; // bytes up to which lines were handed on
    try (JsonParser parser = JSON.createParser(frame)) {
      for (JsonToken token; (token = parser.nextToken()) != null; ) {
        int from = (int) parser.currentTokenLocation().getByteOffset();
        boolean isReading = token == JsonToken.START_OBJECT && object(parser);
        done = (int) parser.currentLocation().getByteOffset();
        if (isReading && reading.isPlain()) {
          sink.reading(reading);
        } else {
          sink.rejected(frame, from, done);
        }
      }
    } catch (IOException bad) {
      lineByLine(frame, done, sink);
    }
  }

  /** The rest of a frame with a line that is not JSON: that line alone is refused. */
  private void lineByLine(byte[] frame, int from, Sink sink) {
    while (from < frame.length) {
      int to = from;
      boolean blank = true;
      for (; to < frame.length && frame[to] != '\n'; to++) {
        blank &= frame[to] <= ' ' && frame[to] >= 0;
      }
      if (!blank) {
        if (line(frame, from, to)) {
          sink.reading(reading);
        } else {
          sink.rejected(frame, from, to);
        }
      }
      from = to + 1;
    }
  }

  private boolean line(byte[] frame, int from, int to) {
    try (JsonParser parser = JSON.createParser(frame, from, to - from)) {
      return parser.nextToken() == JsonToken.START_OBJECT && object(parser) && reading.isPlain();
    } catch (IOException bad) {
      return false;
    }
  }

  private boolean object(JsonParser parser) throws IOException {
    reading.clear();
    boolean hasBody = false;
    for (String name; (name = parser.nextFieldName()) != null; ) {
      JsonToken value = parser.nextToken();
      switch (name) {
        case "device_id" -> {
          reading.device = parser.getText();
          reading.site = registry.siteOfDevice.get(reading.device);
        }
        case "received_at_ms" -> reading.receivedMs = parser.getLongValue();
        case "seq" -> reading.seq = parser.getLongValue();
        case "boot" -> boot(parser.getText());
        case "body" -> {
          hasBody = value == JsonToken.START_OBJECT;
          if (hasBody) {
            body(parser);
          } else {
            parser.skipChildren();
          }
        }
        default -> parser.skipChildren();
      }
    }
    return hasBody;
  }

  private void boot(String text) {
    try {
      reading.boot = Integer.parseUnsignedInt(text, 16);
    } catch (NumberFormatException bad) {
      reading.bootReadable = false;
    }
  }

  private void body(JsonParser parser) throws IOException {
    for (String name; (name = parser.nextFieldName()) != null; ) {
      if (parser.nextToken() == JsonToken.VALUE_NULL) {
        continue;
      }
      switch (name) {
        case "t" -> reading.measuredMs = parser.getLongValue();
        case "p" -> reading.powerW[0] = parser.getDoubleValue();
        case "g" -> reading.powerW[1] = parser.getDoubleValue();
        case "pv" -> reading.powerW[2] = parser.getDoubleValue();
        case "l" -> reading.powerW[3] = parser.getDoubleValue();
        case "soc" -> reading.soc = parser.getDoubleValue();
        case "hz" -> reading.hz = parser.getDoubleValue();
        case "v" -> reading.volt = parser.getDoubleValue();
        case "tc" -> reading.temperatureC = parser.getDoubleValue();
        case "isl" -> reading.islanded = (byte) (parser.getBooleanValue() ? 1 : 0);
        case "iv" -> reading.intervalMs = parser.getLongValue();
        default -> parser.skipChildren();
      }
    }
  }
}
