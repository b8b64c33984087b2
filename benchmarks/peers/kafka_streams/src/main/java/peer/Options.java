package peer;

/** What the command line states: {@code --kafka localhost:9092 --input raw ...}. */
final class Options {
  String kafka;
  String input;
  String output;
  String rejected;
  String app;
  String registry;
  String state;
  String style;
  long commitMs = 5000;

  static Options of(String[] args) {
    Options options = new Options();
    for (int i = 0; i < args.length; i += 2) {
      String value = args[i + 1];
      switch (args[i]) {
        case "--kafka" -> options.kafka = value;
        case "--input" -> options.input = value;
        case "--output" -> options.output = value;
        case "--rejected" -> options.rejected = value;
        case "--app" -> options.app = value;
        case "--registry" -> options.registry = value;
        case "--state" -> options.state = value;
        case "--style" -> options.style = value;
        case "--commit-ms" -> options.commitMs = Long.parseLong(value);
        default -> throw new IllegalArgumentException(args[i]);
      }
    }
    return options;
  }
}
