package peer;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.processor.StateStore;
import org.apache.kafka.streams.processor.StateStoreContext;
import org.apache.kafka.streams.processor.internals.InternalProcessorContext;
import org.apache.kafka.streams.query.Position;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.internals.CacheFlushListener;
import org.apache.kafka.streams.state.internals.CachedStateStore;

/**
 * Objects on the heap by name. What changed becomes bytes once a commit, in the changelog, and not
 * with each reading as in the stores that Streams has. For that it uses two of its internal
 * interfaces.
 */
final class HeapStore<V> implements StateStore, CachedStateStore<byte[], byte[]> {
  final Map<String, V> values = new HashMap<>();

  /** Commits so far; a value remembers in which one it last called {@link #changed}. */
  int commits;

  private final String name;
  private final Function<byte[], V> decode;
  private final Function<V, byte[]> encode;
  private final List<String> changedKeys = new ArrayList<>();
  private final List<V> changedValues = new ArrayList<>();
  private InternalProcessorContext<?, ?> context;
  private volatile boolean open;

  HeapStore(String name, Function<byte[], V> decode, Function<V, byte[]> encode) {
    this.name = name;
    this.decode = decode;
    this.encode = encode;
  }

  /** Write a value at the next commit; to be called once for each value and commit. */
  void changed(String key, V value) {
    changedKeys.add(key);
    changedValues.add(value);
  }

  void delete(String key) {
    values.remove(key);
    changed(key, null);
  }

  @Override
  public void flushCache() {
    RecordHeaders none = new RecordHeaders();
    Position nowhere = Position.emptyPosition();
    for (int i = 0; i < changedKeys.size(); i++) {
      V value = changedValues.get(i);
      byte[] data = value == null ? null : encode.apply(value);
      byte[] key = changedKeys.get(i).getBytes(StandardCharsets.UTF_8);
      context.logChange(name, Bytes.wrap(key), data, 0L, none, nowhere);
    }
    clearCache();
    commits++;
  }

  @Override
  public void clearCache() {
    changedKeys.clear();
    changedValues.clear();
  }

  @Override
  public boolean setFlushListener(CacheFlushListener<byte[], byte[]> listener, boolean sendOld) {
    return false;
  }

  @Override
  public String name() {
    return name;
  }

  @Override
  public void init(StateStoreContext stateContext, StateStore root) {
    context = (InternalProcessorContext<?, ?>) stateContext;
    stateContext.register(
        root,
        (keyBytes, data) -> {
          String key = new String(keyBytes, StandardCharsets.UTF_8);
          if (data == null) {
            values.remove(key);
          } else {
            values.put(key, decode.apply(data));
          }
        });
    open = true;
  }

  @Override
  public void flush() {}

  @Override
  public void close() {
    open = false;
    values.clear();
  }

  @Override
  public boolean persistent() {
    return false;
  }

  @Override
  public boolean isOpen() {
    return open;
  }

  static <V> StoreBuilder<HeapStore<V>> builder(
      String name, Function<byte[], V> decode, Function<V, byte[]> encode) {
    return new StoreBuilder<>() {
      private Map<String, String> config = new HashMap<>();
      private boolean logging = true;

      @Override
      public StoreBuilder<HeapStore<V>> withCachingEnabled() {
        return this;
      }

      @Override
      public StoreBuilder<HeapStore<V>> withCachingDisabled() {
        return this;
      }

      @Override
      public StoreBuilder<HeapStore<V>> withLoggingEnabled(Map<String, String> changes) {
        config = changes;
        logging = true;
        return this;
      }

      @Override
      public StoreBuilder<HeapStore<V>> withLoggingDisabled() {
        logging = false;
        return this;
      }

      @Override
      public HeapStore<V> build() {
        return new HeapStore<>(name, decode, encode);
      }

      @Override
      public Map<String, String> logConfig() {
        return config;
      }

      @Override
      public boolean loggingEnabled() {
        return logging;
      }

      @Override
      public String name() {
        return name;
      }
    };
  }
}
