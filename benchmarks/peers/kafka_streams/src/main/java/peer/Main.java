package peer;

import java.time.Duration;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;

/** Runs a topology until it is terminated, and prints its counters each half second. */
public final class Main {
  private static final int PRINT_MS = 500;
  private static final long CACHE_BYTES = 256L << 20;

  private Main() {}

  static Properties properties(Options options) {
    Properties p = new Properties();
    p.put(StreamsConfig.APPLICATION_ID_CONFIG, options.app);
    p.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, options.kafka);
    p.put(StreamsConfig.STATE_DIR_CONFIG, options.state);
    p.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
    p.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, options.commitMs);
    p.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, CACHE_BYTES);
    p.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
    p.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
    consumer(p, ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
    consumer(p, ConsumerConfig.MAX_POLL_RECORDS_CONFIG, 5000);
    consumer(p, ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG, 8 << 20);
    producer(p, ProducerConfig.LINGER_MS_CONFIG, 20);
    producer(p, ProducerConfig.BATCH_SIZE_CONFIG, 256 << 10);
    producer(p, ProducerConfig.COMPRESSION_TYPE_CONFIG, "lz4");
    producer(p, ProducerConfig.ACKS_CONFIG, "all");
    return p;
  }

  private static void consumer(Properties p, String name, Object value) {
    p.put(StreamsConfig.consumerPrefix(name), value);
  }

  private static void producer(Properties p, String name, Object value) {
    p.put(StreamsConfig.producerPrefix(name), value);
  }

  public static void main(String[] args) throws Exception {
    Options options = Options.of(args);
    Registry registry = Registry.load(options.registry);
    CountDownLatch failed = new CountDownLatch(1);
    KafkaStreams streams = new KafkaStreams(Topologies.of(options, registry), properties(options));
    streams.setUncaughtExceptionHandler(
        error -> {
          error.printStackTrace();
          failed.countDown();
          return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
    Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(10))));
    streams.start();
    while (!failed.await(PRINT_MS, TimeUnit.MILLISECONDS)) {
      System.out.printf(
          "{\"readings\":%d,\"repeats\":%d,\"rejected\":%d,\"late\":%d,\"windows\":%d}%n",
          Counters.readings.sum(),
          Counters.repeats.sum(),
          Counters.rejected.sum(),
          Counters.late.sum(),
          Counters.windows.sum());
      System.out.flush();
    }
    System.exit(1);
  }
}
