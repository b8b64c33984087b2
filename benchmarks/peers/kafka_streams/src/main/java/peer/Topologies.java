package peer;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.ProcessorSupplier;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;

/** The three styles: {@code heap}, {@code rocks} and {@code dsl}. */
final class Topologies {
  private static final Serde<Twin> TWIN =
      Serdes.serdeFrom(
          (topic, twin) -> twin == null ? null : twin.bytes(),
          (topic, data) -> data == null ? null : Twin.of(data));
  static final Serde<SiteWindow> SITE_WINDOW =
      Serdes.serdeFrom(
          (topic, window) -> window == null ? null : window.bytes(),
          (topic, data) -> data == null ? null : SiteWindow.of(data));

  private Topologies() {}

  static Topology of(Options options, Registry registry) {
    switch (options.style) {
      case "dsl" -> {
        StreamsBuilder builder = new StreamsBuilder();
        Dsl.build(builder, registry, options);
        return builder.build();
      }
      case "heap" -> {
        Topology topology = processor(options, () -> new HeapProcessor(registry));
        topology.addStateStore(
            HeapStore.builder(HeapProcessor.TWINS, Topologies::device, Topologies::bytes), "vpp");
        topology.addStateStore(
            HeapStore.builder(
                HeapProcessor.WINDOWS,
                data -> HeapProcessor.OpenWindow.of(data, registry),
                HeapProcessor.OpenWindow::bytes),
            "vpp");
        return sinks(topology, options);
      }
      case "rocks" -> {
        Topology topology = processor(options, () -> new StoreProcessor(registry));
        topology.addStateStore(rocksTwins("twins"), "vpp");
        topology.addStateStore(
            Stores.keyValueStoreBuilder(
                    Stores.persistentKeyValueStore("windows"), Serdes.Bytes(), SITE_WINDOW)
                .withCachingEnabled()
                .withLoggingEnabled(Map.of()),
            "vpp");
        return sinks(topology, options);
      }
      default -> throw new IllegalArgumentException(options.style);
    }
  }

  private static Topology processor(
      Options options, ProcessorSupplier<byte[], byte[], byte[], byte[]> supplier) {
    ByteArrayDeserializer bytes = new ByteArrayDeserializer();
    return new Topology()
        .addSource("frames", bytes, bytes, options.input)
        .addProcessor("vpp", supplier, "frames");
  }

  private static Topology sinks(Topology topology, Options options) {
    ByteArraySerializer bytes = new ByteArraySerializer();
    return topology
        .addSink("windows", options.output, bytes, bytes, "vpp")
        .addSink("rejected", options.rejected, bytes, bytes, "vpp");
  }

  static StoreBuilder<KeyValueStore<String, Twin>> rocksTwins(String name) {
    return Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore(name), Serdes.String(), TWIN)
        .withCachingEnabled()
        .withLoggingEnabled(Map.of());
  }

  private static byte[] bytes(HeapProcessor.Device device) {
    byte[] id = device.id.getBytes(StandardCharsets.UTF_8);
    byte[] twin = device.twin.bytes();
    ByteBuffer buffer = ByteBuffer.allocate(4 + id.length + twin.length);
    return buffer.putInt(id.length).put(id).put(twin).array();
  }

  private static HeapProcessor.Device device(byte[] data) {
    ByteBuffer buffer = ByteBuffer.wrap(data);
    byte[] id = new byte[buffer.getInt()];
    buffer.get(id);
    byte[] twin = new byte[buffer.remaining()];
    buffer.get(twin);
    return new HeapProcessor.Device(new String(id, StandardCharsets.UTF_8), Twin.of(twin));
  }
}
